// A client in TypeScript: makes a group, sends a message twice under one id, and reads it back.
import { deepStrictEqual, ok } from "node:assert";
import { env } from "node:process";

import { createClient, type Interceptor } from "@connectrpc/connect";
import { createConnectTransport } from "@connectrpc/connect-node";

import { ChatService } from "./gen/tertulia/chat/v1/chat_pb.js";
import { RoomType } from "./gen/tertulia/chat/v1/types_pb.js";

const TEXT = "¿Quién viene?";

const withToken: Interceptor = (next) => (request) => {
  request.header.set("authorization", `Bearer ${env.TERTULIA_TOKEN}`);
  return next(request);
};
const transport = createConnectTransport({
  baseUrl: env.TERTULIA_URL ?? "",
  httpVersion: "1.1",
  interceptors: [withToken],
  defaultTimeoutMs: 20_000,
});
const chat = createClient(ChatService, transport);

const made = await chat.createRoom({ type: RoomType.group, name: "TypeScript", participants: [2n] });
const roomId = made.room?.id ?? "";
const send = { roomId, content: TEXT, clientMessageId: "typescript-1" };
const first = await chat.sendMessage(send);
const again = await chat.sendMessage(send);
const history = await chat.getMessageHistory({ roomId });
ok(again.duplicate);
deepStrictEqual(history.messages.map(({ id, content }) => ({ id, content })), [{ id: first.message?.id, content: TEXT }]);
console.log("typescript: sent and read back");
