from larder.cli import main

main()
