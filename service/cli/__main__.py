"""`python -m service.cli` is `towpath`."""

from service.cli.main import main

main()
