//! Attackers who send where they are not.

use anyhow::Result;
use tertulia_proto::chat::v1::SendMessageRequest;
use tokio::task::JoinSet;

use crate::{Seen, Span, Target, target::Tally};

/// Several users, each within their rate, send to a room that none of them is in.
pub(super) async fn strangers(target: &Target, victim: &str, users: usize, span: &Span) -> Result<Seen> {
    let mut tasks = JoinSet::new();
    for user in 0..i64::try_from(users)? {
        let mut caller = target.caller(target.user(user))?;
        let (pace, span, room_id) = (target.pace(), span.clone(), victim.to_owned());
        tasks.spawn(async move {
            let mut tally = Tally::default();
            while !span.is_over() {
                pace.turn().await;
                let request = SendMessageRequest {
                    room_id: room_id.clone(),
                    content: "let me in".to_owned(),
                    ..SendMessageRequest::default()
                };
                tally.count(&caller.send_message(request).await);
            }
            tally
        });
    }
    let mut tally = Tally::default();
    tasks.join_all().await.into_iter().for_each(|one| tally.merge(one));
    Ok(Seen::line(format!("{users} strangers sent to the good client's room: {tally}")))
}
