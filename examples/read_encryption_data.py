#!/usr/bin/env python3
"""Reads a room's encryption_data and one message that a client encrypted with the room's key.

    CHAT_KEY=<64 hex digits> CHAT_IV=<32 hex digits> \
        python3 read_encryption_data.py ENCRYPTION_DATA CONTENT

Needs the standard library and the `openssl` command only. A demonstration: key and IV are visible
in the process list while openssl runs, so use a library in a real client.
"""
import base64, json, os, subprocess, sys


def decrypt(key: str, iv: str, text: str) -> bytes:
    """AES-256-CBC with PKCS#7; key and iv are hexadecimal, text is standard base64."""
    command = ["openssl", "enc", "-d", "-aes-256-cbc", "-K", key, "-iv", iv]
    ciphertext = base64.b64decode(text, validate=True)
    return subprocess.run(command, input=ciphertext, check=True, capture_output=True).stdout


encryption_data, content = sys.argv[1:3]
room = json.loads(decrypt(os.environ["CHAT_KEY"], os.environ["CHAT_IV"], encryption_data))
sys.stdout.buffer.write(decrypt(room["key"], room["iv"], content))
