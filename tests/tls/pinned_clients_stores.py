"""
Clients of stores and queues, as their users write them; ``pinned_clients`` says what all have in common.

Those that take no TLS context make their own, and are told which roots to trust by a file.
"""

import asyncio
import os
import ssl

import boto3
import pika
import pymongo
import redis
import redis.asyncio
from botocore.config import Config
from pinned_clients import HOST, Context
from redis.backoff import NoBackoff
from redis.retry import Retry


def cafile() -> str:
    return os.environ["SSL_CERT_FILE"]


def boto3_s3(port: int, context: Context) -> bytes:
    client = boto3.client(
        "s3",
        endpoint_url=f"https://{HOST}:{port}",
        verify=cafile(),
        region_name="us-east-1",
        aws_access_key_id="nobody",
        aws_secret_access_key="nothing",
        config=Config(retries={"total_max_attempts": 1}, s3={"addressing_style": "path"}),  # it waits between attempts
    )
    try:
        return client.get_object(Bucket="bucket", Key="key")["Body"].read()
    finally:
        client.close()


def redis_sync(port: int, context: Context) -> bytes:
    with redis.Redis(HOST, port, ssl=True, ssl_ca_certs=cafile(), retry=Retry(NoBackoff(), 2)) as client:
        return client.get("key")


async def _redis(port: int) -> bytes:
    retry = redis.asyncio.retry.Retry(NoBackoff(), 2)
    async with redis.asyncio.Redis(host=HOST, port=port, ssl=True, ssl_ca_certs=cafile(), retry=retry) as client:
        return await client.get("key")


def redis_asyncio(port: int, context: Context) -> bytes:
    return asyncio.run(_redis(port))


def mongo(port: int, context: Context) -> bytes:
    options = {"tls": True, "tlsCAFile": cafile(), "directConnection": True, "serverSelectionTimeoutMS": 300}
    with pymongo.MongoClient(HOST, port, **options) as client:
        return client.admin.command("ping")["greeting"].encode()


def rabbit(port: int, context: Context) -> bytes:
    options = pika.SSLOptions(context or ssl.create_default_context(), HOST)
    parameters = pika.ConnectionParameters(HOST, port, ssl_options=options, socket_timeout=10)
    connection = pika.BlockingConnection(parameters)
    try:
        return connection._impl.server_properties["product"].encode()
    finally:
        connection.close()
