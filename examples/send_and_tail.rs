//! Makes a group, sends three messages into it and follows it, also while the server restarts.
//!
//! ```text
//! cargo run --example send_and_tail -- http://127.0.0.1:7700 TOKEN [OTHER_USER_ID]
//! ```

use std::{collections::HashMap, env, time::Duration};

use anyhow::{Context as _, bail};
use tertulia::client::{Client, LiveClient, LiveItem, LiveOptions};
use tertulia_proto::chat::v1::{CreateRoomRequest, RoomType, SendMessageRequest, event::Event};

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let mut args = env::args().skip(1);
    let (Some(server), Some(token)) = (args.next(), args.next()) else {
        bail!("usage: send_and_tail SERVER_URL TOKEN [OTHER_USER_ID]");
    };
    let other = args.next().map_or(Ok(2), |id| id.parse())?;
    let client = Client::connect(server, token).await?;

    let group = CreateRoomRequest {
        r#type: RoomType::Group.into(),
        name: "Send and tail".to_owned(),
        participants: vec![other],
        ..Default::default()
    };
    let room = client.create_room(group).await?.room.context("an answer without a room")?;
    println!("room {} begins at seq {}", room.id, room.last_seq);

    // The id makes a repeated send have one effect: it may be sent until it is acknowledged.
    for i in 1..=3 {
        let send = SendMessageRequest {
            room_id: room.id.clone(),
            content: format!("message {i}"),
            client_message_id: format!("{}-{i}", room.id),
            ..Default::default()
        };
        let sent = client.send_until_acked(send, Duration::from_secs(30)).await?;
        println!("acknowledged at seq {}", sent.message.map_or(0, |message| message.seq));
    }

    // From before the first message: what was sent meanwhile comes first, then what happens.
    let options = LiveOptions {
        client_id: format!("send-and-tail-{}", std::process::id()),
        room_id: Some(room.id.clone()),
        cursors: Some(HashMap::from([(room.id.clone(), room.last_seq)])),
        ..LiveOptions::default()
    };
    let mut live = LiveClient::new(client, options);
    loop {
        match live.next().await? {
            LiveItem::Up => println!("-- connected, after seq {:?}", live.cursors().get(&room.id)),
            LiveItem::Down { error, retry_in } => println!("-- {error}; again in {retry_in:?}"),
            LiveItem::Event(event) => match event.event {
                Some(Event::Message(m)) => {
                    println!("{:>4} {}: {}", event.seq, m.sender_id, m.content)
                }
                Some(Event::ResyncRequired(_)) => println!("-- read the history again"),
                other => println!("{:>4} {other:?}", event.seq),
            },
        }
    }
}
