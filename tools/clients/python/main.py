"""A client in Python: makes a group, sends a message twice under one id, and reads it back."""

import os

import grpc

# What an application of this name may well have beside it: the generated code must not be in its way.
import chat

from tertulia.chat.v1 import chat_pb2, chat_pb2_grpc, types_pb2

TEXT = "¿Quién viene?"

assert chat.OURS
metadata = [("authorization", "Bearer " + os.environ["TERTULIA_TOKEN"])]
with grpc.insecure_channel(os.environ["TERTULIA_URL"].removeprefix("http://")) as channel:
    service = chat_pb2_grpc.ChatServiceStub(channel)

    def call(method, request):
        return getattr(service, method)(request, metadata=metadata, timeout=20)

    made = call("CreateRoom", chat_pb2.CreateRoomRequest(type=types_pb2.group, name="Python", participants=[2]))
    send = chat_pb2.SendMessageRequest(room_id=made.room.id, content=TEXT, client_message_id="python-1")
    first = call("SendMessage", send)
    again = call("SendMessage", send)
    history = call("GetMessageHistory", chat_pb2.GetMessageHistoryRequest(room_id=made.room.id))
    assert again.duplicate, again
    assert [(m.id, m.content) for m in history.messages] == [(first.message.id, TEXT)], history
print("python: sent and read back")
