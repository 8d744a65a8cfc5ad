//! Attackers who drag others into their rooms.

use anyhow::Result;
use tertulia_proto::chat::v1::{AddParticipantsRequest, CreateRoomRequest, RoomType};
use tokio::time::sleep;

use crate::{
    Seen, Span, Target,
    target::{Tally, retry_after},
};

/// Users named in one call.
const USERS_PER_CALL: i64 = 1_000;

/// Adds strangers to groups, a thousand a call, and makes channels for everyone, as fast as a user may call.
pub(super) async fn adders(target: &Target, span: &Span) -> Result<Seen> {
    let mut caller = target.caller(target.user(0))?;
    let pace = target.pace();
    let (mut adds, mut channels, mut strangers) = (Tally::default(), Tally::default(), 0);
    let mut room = target.group(target.user(0), vec![target.user(1)]).await?;
    for round in 0_i64.. {
        pace.turn().await;
        if span.is_over() {
            break;
        }
        if round % 10 == 9 {
            let request = CreateRoomRequest {
                r#type: RoomType::Channel.into(),
                name: format!("for everyone {round}"),
                join_all_users: true,
                ..CreateRoomRequest::default()
            };
            channels.count(&caller.create_room(request).await);
            continue;
        }
        if round % 50 == 49 {
            room = target.group(target.user(0), vec![target.user(1)]).await.unwrap_or(room);
        }
        let first = target.user(2 + round % 80 * USERS_PER_CALL);
        let request =
            AddParticipantsRequest { room_id: room.clone(), user_ids: (first..first + USERS_PER_CALL).collect() };
        let answer = caller.add_participants(request).await;
        adds.count(&answer);
        match answer {
            Ok(answer) => strangers += answer.into_inner().added.len(),
            Err(status) => {
                tokio::select! {
                    () = sleep(retry_after(&status)) => {}
                    () = span.end() => {}
                }
            }
        }
    }
    Ok(Seen::line(format!(
        "calls that add a thousand strangers: {adds} ({strangers} were added); channels for everyone: {channels}"
    )))
}
