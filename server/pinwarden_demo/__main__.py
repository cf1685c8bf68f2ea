"""`python -m pinwarden_demo demo`: the same two commands where the `pinwarden` script is not on PATH."""

import click

from pinwarden_demo.cli import demo, dev

click.Group("pinwarden_demo", commands=[demo, dev])(prog_name="python -m pinwarden_demo")
