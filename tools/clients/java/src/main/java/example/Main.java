package example;

import com.tertulia.chat.v1.ChatServiceGrpc;
import com.tertulia.chat.v1.CreateRoomRequest;
import com.tertulia.chat.v1.GetMessageHistoryRequest;
import com.tertulia.chat.v1.RoomType;
import com.tertulia.chat.v1.SendMessageRequest;
import io.grpc.ManagedChannelBuilder;
import io.grpc.Metadata;
import io.grpc.stub.MetadataUtils;
import java.util.concurrent.TimeUnit;

/** A client in Java: makes a group, sends a message twice under one id, and reads it back. */
public final class Main {
    private static final String TEXT = "¿Quién viene?";

    private Main() {}

    public static void main(String[] args) {
        var address = System.getenv("TERTULIA_URL").replaceFirst("^http://", "");
        var channel = ManagedChannelBuilder.forTarget(address).usePlaintext().build();
        try {
            var headers = new Metadata();
            headers.put(
                    Metadata.Key.of("authorization", Metadata.ASCII_STRING_MARSHALLER),
                    "Bearer " + System.getenv("TERTULIA_TOKEN"));
            var chat = ChatServiceGrpc.newBlockingStub(channel)
                    .withInterceptors(MetadataUtils.newAttachHeadersInterceptor(headers))
                    .withDeadlineAfter(20, TimeUnit.SECONDS);
            var made = chat.createRoom(CreateRoomRequest.newBuilder()
                    .setType(RoomType.group)
                    .setName("Java")
                    .addParticipants(2)
                    .build());
            var room = made.getRoom().getId();
            var send = SendMessageRequest.newBuilder()
                    .setRoomId(room)
                    .setContent(TEXT)
                    .setClientMessageId("java-1")
                    .build();
            var first = chat.sendMessage(send);
            var again = chat.sendMessage(send);
            var history = chat.getMessageHistory(
                    GetMessageHistoryRequest.newBuilder().setRoomId(room).build());
            if (!again.getDuplicate()
                    || history.getMessagesCount() != 1
                    || history.getMessages(0).getId() != first.getMessage().getId()
                    || !history.getMessages(0).getContent().equals(TEXT)) {
                throw new IllegalStateException("read back something else: " + history);
            }
            System.out.println("java: sent and read back");
        } finally {
            channel.shutdownNow();
        }
    }
}
