#!/bin/sh
# A Typer application's command is no click.Command, although Typer is known as "built on Click".
#
# Versions: typer 0.29.2 and click 8.5.1 from PyPI.
# Expected by many: typer.main.get_command(app) returns a click.Group, so that whatever walks Click's commands (a
# documentation generator, a shell, click.testing.CliRunner) takes it.
# Seen: Typer carries a copy of Click of its own, typer._click. The command is no instance of click.Command, a parameter that it
# rejects raises typer's own BadParameter, which `except click.ClickException` does not catch, and Typer no longer requires
# click at all: it is not installed beside it.
set -eu
python=${PYTHON:-python3}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
"$python" -m venv env
env/bin/pip install --quiet --disable-pip-version-check typer==0.29.2
if env/bin/python -c "import click" 2> /dev/null; then
    echo "CHANGED: typer installs click again"
    exit 1
fi
env/bin/pip install --quiet --disable-pip-version-check click==8.5.1
cat > see.py <<'SEE'
import click
import typer
from typer.main import get_command

app = typer.Typer()


@app.command()
def count(n: int) -> None:
    print(n)


command = get_command(app)
print("is a click.Command:", isinstance(command, click.Command))
try:
    command(args=["many"], standalone_mode=False)
except click.ClickException:
    print("caught as click.ClickException")
except Exception as error:
    print("raised:", type(error).__module__ + "." + type(error).__name__)
SEE
env/bin/python see.py | tee seen
[ "$(cat seen)" = "is a click.Command: False
raised: typer._click.exceptions.BadParameter" ] || { echo "CHANGED"; exit 1; }
echo "as found: Typer's commands are of a Click of its own"
