//! A good client: one more user, in a room of their own, who sends a little all the time and notes how it goes.

use std::{collections::HashMap, sync::Arc, time::Duration};

use anyhow::{Context as _, Result};
use hdrhistogram::Histogram;
use tertulia_proto::chat::v1::{GetMessageHistoryRequest, SendMessageRequest};
use tokio::time::Instant;

use crate::{
    Span, Target,
    target::{Caller, Tally, retry_after},
};

/// Pages of the room's history read in the end, at most.
const PAGES_MAX: usize = 10_000;

/// A good client, ready to begin.
#[derive(Debug)]
pub struct Good {
    target: Target,
    user: i64,
    /// Their room.
    pub room: String,
}

/// What a good client lived through.
#[derive(Debug)]
pub struct Record {
    /// Answers.
    pub acked: usize,
    /// Half of the answers took at most so many milliseconds.
    pub p50_ms: f64,
    /// 99 of 100.
    pub p99_ms: f64,
    /// The longest.
    pub max_ms: f64,
    /// Calls that failed.
    pub errors: u64,
    /// The same, by reason.
    pub by_reason: String,
    /// Acknowledged messages that are not in history exactly once.
    pub not_once: usize,
}

/// Answers that take longer count as this long, microseconds.
const ANSWER_MICROS_MAX: u64 = 600_000_000;

impl Good {
    /// Makes the room: of the last user of the target's, with one other.
    ///
    /// # Errors
    /// When the server refuses.
    pub async fn prepare(target: &Target) -> Result<Self> {
        let user = target.user(99_000);
        let room = target.group(user, vec![target.user(99_001)]).await?;
        Ok(Self { target: target.clone(), user, room })
    }

    /// Sends every 20 to 50 ms until the attack has ended, then looks whether all is there.
    ///
    /// # Errors
    /// When the history cannot be read afterwards.
    pub async fn live(self, span: &Span) -> Result<Record> {
        let caller = self.target.caller(self.user)?;
        let (mut caller, mut errors, mut failed) = (caller, Tally::default(), 0);
        let mut times = Histogram::<u64>::new_with_max(ANSWER_MICROS_MAX, 3).context("a histogram")?;
        let mut acked: Vec<Arc<str>> = Vec::new();
        let mut number = 0_u64;
        while !span.is_over() {
            number += 1;
            let id: Arc<str> = format!("good:{number}").into();
            let request = SendMessageRequest {
                room_id: self.room.clone(),
                content: format!("still here, {number}"),
                client_message_id: id.to_string(),
                ..SendMessageRequest::default()
            };
            let began = Instant::now();
            let answer = caller.send_message(request).await;
            times.saturating_record(u64::try_from(began.elapsed().as_micros()).unwrap_or(u64::MAX));
            match answer {
                Ok(_) => acked.push(id),
                Err(status) => {
                    failed += 1;
                    errors.count::<()>(&Err(status));
                }
            }
            tokio::time::sleep(Duration::from_millis(20 + number * 7 % 31)).await;
        }
        let seen = self.history(&mut caller).await?;
        let ms = |micros: u64| micros as f64 / 1_000.0;
        Ok(Record {
            acked: acked.len(),
            p50_ms: ms(times.value_at_quantile(0.5)),
            p99_ms: ms(times.value_at_quantile(0.99)),
            max_ms: ms(times.max()),
            errors: failed,
            by_reason: errors.to_string(),
            not_once: acked.iter().filter(|id| seen.get(&***id) != Some(&1)).count(),
        })
    }

    /// How often each client message id is in the room.
    async fn history(&self, caller: &mut Caller) -> Result<HashMap<String, u32>> {
        let mut seen = HashMap::new();
        let mut after = 0;
        for _ in 0..PAGES_MAX {
            let request = GetMessageHistoryRequest {
                room_id: self.room.clone(),
                after_seq: Some(after),
                limit: 200,
                ..GetMessageHistoryRequest::default()
            };
            let page = match caller.get_message_history(request).await {
                Ok(page) => page.into_inner(),
                Err(status) if status.code() == tonic::Code::ResourceExhausted => {
                    tokio::time::sleep(retry_after(&status)).await;
                    continue;
                }
                Err(status) => return Err(status).context("read the good client's room"),
            };
            after = page.messages.last().map_or(after, |message| message.seq);
            for message in page.messages {
                *seen.entry(message.client_message_id).or_default() += 1;
            }
            if !page.has_more_after {
                return Ok(seen);
            }
        }
        anyhow::bail!("the good client's room has no end")
    }
}
