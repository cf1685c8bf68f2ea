"""What takes no context is pinned by the process, and its own error has ours inside."""

from typing import Any

import boto3
import botocore.config
import botocore.exceptions
import pytest

from pinwarden import PinMismatchError, find_pin_error


def buckets(server: Any) -> object:
    s3 = boto3.client(
        "s3",
        endpoint_url=server.url,
        verify=str(server.ca_file),
        aws_access_key_id="none",
        aws_secret_access_key="none",
        region_name="eu-west-1",
        config=botocore.config.Config(retries={"total_max_attempts": 1}),
    )
    try:
        return s3.list_buckets()["Buckets"]
    finally:
        s3.close()


def test_boto3_raises_its_own_error_with_ours_inside_and_sends_nothing(
    throwaway_pins: Any, local_server: Any, enforce_pins: Any
) -> None:
    throwaway_pins.publish({"localhost": [b"w" * 32]})
    enforce_pins(throwaway_pins)
    with pytest.raises(botocore.exceptions.SSLError) as refused:
        buckets(local_server)
    assert type(find_pin_error(refused.value)) is PinMismatchError
    assert (local_server.received(), local_server.connections) == (b"", 1)


def test_boto3_works_with_the_right_key(throwaway_pins: Any, local_server: Any, enforce_pins: Any) -> None:
    local_server.pages = {"/": b"<ListAllMyBucketsResult><Buckets></Buckets></ListAllMyBucketsResult>"}
    throwaway_pins.publish({"localhost": [local_server.pin]})
    enforce_pins(throwaway_pins)
    assert buckets(local_server) == []
