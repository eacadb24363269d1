from larder.cli.main import main

main()
