"""`rro env check intercode-sql`."""

from rro_sdk.cli.env.check_conformance import command_for

command = command_for("intercode-sql")
