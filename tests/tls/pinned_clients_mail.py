"""
Clients of mail and file servers, as their users write them; ``pinned_clients`` says what all have in common.

TLS begins at once, or after a few lines of plaintext.
"""

import contextlib
import ftplib
import imaplib
import io
import poplib
import smtplib
import ssl

from pinned_clients import HOST, Context


def smtp(port: int, context: Context) -> bytes:
    with smtplib.SMTP(HOST, port, timeout=10) as client:
        client.starttls(context=context or ssl.create_default_context())
        return client.noop()[1]


def imap(port: int, context: Context) -> bytes:
    client = imaplib.IMAP4(HOST, port, timeout=10)
    try:
        client.starttls(context or ssl.create_default_context())
        return client.noop()[0].encode()
    finally:
        with contextlib.suppress(OSError):  # starttls() took the socket away before it failed
            client.shutdown()


def pop3(port: int, context: Context) -> bytes:
    client = poplib.POP3(HOST, port, timeout=10)
    try:
        client.stls(context or ssl.create_default_context())
        return client.noop()
    finally:
        with contextlib.suppress(OSError):  # as above
            client.close()


def ftp(port: int, context: Context) -> bytes:
    client = ftplib.FTP_TLS(context=context or ssl.create_default_context(), timeout=10)
    try:
        client.connect(HOST, port)
        client.login("me", "secret")
        return client.sendcmd("NOOP").encode()
    finally:
        client.close()


def smtp_ssl(port: int, context: Context) -> bytes:
    with smtplib.SMTP_SSL(HOST, port, timeout=10, context=context or ssl.create_default_context()) as client:
        return client.noop()[1]


def imap_ssl(port: int, context: Context) -> bytes:
    client = imaplib.IMAP4_SSL(HOST, port, ssl_context=context or ssl.create_default_context(), timeout=10)
    try:
        return client.noop()[0].encode()
    finally:
        client.logout()


def pop3_ssl(port: int, context: Context) -> bytes:
    client = poplib.POP3_SSL(HOST, port, timeout=10, context=context or ssl.create_default_context())
    try:
        return client.noop()
    finally:
        client.close()


def store_by_ftp(port: int, context: Context, payload: bytes) -> None:
    """Upload *payload* over a data connection that TLS protects."""
    client = ftplib.FTP_TLS(context=context or ssl.create_default_context(), timeout=10)
    try:
        client.connect(HOST, port)
        client.login("me", "secret")
        client.prot_p()
        client.storbinary("STOR file", io.BytesIO(payload))
    finally:
        client.close()


def fetch_by_ftp(port: int, context: Context) -> bytes:
    """Download a file over a data connection that TLS protects."""
    client, taken = ftplib.FTP_TLS(context=context or ssl.create_default_context(), timeout=10), bytearray()
    try:
        client.connect(HOST, port)
        client.login("me", "secret")
        client.prot_p()
        client.retrbinary("RETR file", taken.extend)
    finally:
        client.close()
    return bytes(taken)
