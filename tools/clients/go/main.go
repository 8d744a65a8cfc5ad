// A client in Go: makes a group, sends a message twice under one id, and reads it back.
package main

import (
	"context"
	"log"
	"os"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"

	chatv1 "tertulia/gen/chat/v1"
)

const text = "¿Quién viene?"

func main() {
	address := strings.TrimPrefix(os.Getenv("TERTULIA_URL"), "http://")
	connection, err := grpc.NewClient(address, grpc.WithTransportCredentials(insecure.NewCredentials()))
	must(err)
	defer connection.Close()
	chat := chatv1.NewChatServiceClient(connection)
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	ctx = metadata.AppendToOutgoingContext(ctx, "authorization", "Bearer "+os.Getenv("TERTULIA_TOKEN"))

	made, err := chat.CreateRoom(ctx, &chatv1.CreateRoomRequest{
		Type: chatv1.RoomType_group, Name: "Go", Participants: []int64{2},
	})
	must(err)
	send := &chatv1.SendMessageRequest{RoomId: made.Room.Id, Content: text, ClientMessageId: "go-1"}
	first, err := chat.SendMessage(ctx, send)
	must(err)
	again, err := chat.SendMessage(ctx, send)
	must(err)
	history, err := chat.GetMessageHistory(ctx, &chatv1.GetMessageHistoryRequest{RoomId: made.Room.Id})
	must(err)
	if !again.Duplicate || len(history.Messages) != 1 || history.Messages[0].Id != first.Message.Id ||
		history.Messages[0].Content != text {
		log.Fatalf("read back something else: %v", history)
	}
	println("go: sent and read back")
}

func must(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
