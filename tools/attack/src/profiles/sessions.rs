//! Attackers who do not read: great pages that wait in the server, and sessions that outlive their tokens.

use std::time::Duration;

use anyhow::{Context as _, Result};
use bytes::Bytes;
use http::Request;
use prost::Message as _;
use tertulia_proto::chat::v1::{
    GetMessageHistoryRequest, SessionOpen, SessionRequest, session_request::Command, session_response::Frame,
};
use tokio::{
    sync::mpsc,
    task::JoinSet,
    time::{Instant, timeout},
};
use tokio_stream::wrappers::ReceiverStream;

use super::wire::{beside, connect};
use crate::{
    Seen, Span, Target, Who,
    target::{Tally, reason},
};

/// Texts of great messages.
const TEXT_BYTES: usize = 60_000;
/// How far the clocks of issuer and server may be apart: a token is served so long after its end.
const LEEWAY: Duration = Duration::from_secs(30);
/// What the answers that were on their way may take beyond that.
const GRACE: Duration = Duration::from_secs(3);
/// Commands of a session under way.
const PIPELINED: usize = 16;

/// A room of great messages.
pub(super) async fn great_pages(target: &Target, messages: usize) -> Result<Vec<String>> {
    let room = target.group(target.user(0), vec![target.user(1), target.user(2), target.user(3)]).await?;
    target.fill(&room, 0..4, messages, |n| format!("{n} {}", "m".repeat(TEXT_BYTES))).await?;
    Ok(vec![room])
}

fn page(room: &str) -> GetMessageHistoryRequest {
    GetMessageHistoryRequest { room_id: room.to_owned(), limit: 200, ..GetMessageHistoryRequest::default() }
}

/// Asks for great pages on a connection whose windows are shut, and holds them.
pub(super) async fn tiny_windows(target: &Target, rooms: &[String], calls: usize, span: &Span) -> Result<Seen> {
    let mut builder = h2::client::Builder::new();
    builder.initial_window_size(0).max_header_list_size(64 * 1024);
    let mut requests = connect(target, &builder).await?;
    let token = target.token(Who { user: target.user(0), admin: false, valid_s: 3_600 });
    let message = page(&rooms[0]).encode_to_vec();
    let length = u32::try_from(message.len()).unwrap_or(u32::MAX).to_be_bytes();
    let body = Bytes::from([&[0][..], &length, &message].concat());
    let pace = target.pace();
    let (mut sent, mut answers) = (0, JoinSet::new());
    for _ in 0..calls {
        tokio::select! {
            () = pace.turn() => {}
            () = span.end() => break,
        }
        let ready = tokio::select! {
            ready = requests.clone().ready() => ready,
            () = span.end() => break,
        };
        let Ok(ready) = ready else { break };
        requests = ready;
        let request = Request::post(format!("http://{}/chat.v1.ChatService/GetMessageHistory", target.addr))
            .header("content-type", "application/grpc")
            .header("te", "trailers")
            .header("authorization", format!("Bearer {token}"))
            .body(())
            .context("a request")?;
        let Ok((answer, mut stream)) = requests.send_request(request, false) else { break };
        let _ = stream.send_data(body.clone(), true);
        sent += 1;
        let span = span.clone();
        answers.spawn(async move {
            let begun = tokio::select! {
                answer = answer => answer,
                () = span.end() => return "waiting".to_owned(),
            };
            let Ok(answer) = begun else { return "given up by the server".to_owned() };
            if let Some(told) = answer.headers().get("tertulia-reason") {
                return told.to_str().unwrap_or("refused").to_owned();
            }
            // Never read: the window stays shut.
            let mut unread = answer.into_body();
            let ended = tokio::select! {
                ended = unread.data() => ended,
                () = span.end() => return "held by the server".to_owned(),
            };
            if matches!(ended, Some(Ok(_))) { "read".to_owned() } else { "given up by the server".to_owned() }
        });
    }
    let mut tally = Tally::default();
    for word in answers.join_all().await {
        tally.add(word, 1);
    }
    Ok(Seen::line(format!("{sent} pages asked for and not read: {tally}")))
}

/// Keeps a session busy with great answers while its token ends; with `valid_s` seconds of it left (0: it has ended, but
/// for the leeway).
pub(super) async fn expired(target: &Target, rooms: &[String], valid_s: usize, span: &Span) -> Result<Seen> {
    let valid_s = i64::try_from(valid_s)?;
    // In a short run most of the leeway has gone as well.
    let valid_s = if valid_s == 0 { -27 } else { valid_s };
    let began = Instant::now();
    let end = if valid_s < 0 {
        LEEWAY.saturating_sub(Duration::from_secs(valid_s.unsigned_abs()))
    } else {
        LEEWAY + Duration::from_secs(valid_s.unsigned_abs())
    };
    let mut caller = target.caller_as(Who { user: target.user(0), admin: false, valid_s })?;
    let (commands, queue) = mpsc::channel(PIPELINED);
    let open = SessionOpen { client_id: "attack".to_owned(), ..SessionOpen::default() };
    commands.send(SessionRequest { request_id: 0, command: Some(Command::Open(open)) }).await.context("open")?;
    let room = rooms[0].clone();
    let asking = beside(async move {
        for request_id in 1.. {
            let command = Some(Command::GetMessageHistory(page(&room)));
            if commands.send(SessionRequest { request_id, command }).await.is_err() {
                return;
            }
        }
    });
    let mut request = tonic::Request::new(ReceiverStream::new(queue));
    request.set_timeout(Duration::from_secs(600));
    let (mut answers, mut last, mut ended) = (0_u64, Duration::ZERO, "still served".to_owned());
    match caller.session(request).await {
        Err(status) => ended = reason(&status),
        Ok(answer) => {
            let mut frames = answer.into_inner();
            while !span.is_over() {
                match timeout(Duration::from_millis(200), frames.message()).await {
                    Err(_) => {}
                    Ok(Ok(Some(response))) => {
                        let is_good = matches!(&response.frame, Some(Frame::Reply(reply)) if !is_error(reply));
                        if is_good {
                            (answers, last) = (answers + 1, began.elapsed());
                        }
                    }
                    Ok(Ok(None)) => {
                        ended = "ended".to_owned();
                        break;
                    }
                    Ok(Err(status)) => {
                        ended = reason(&status);
                        break;
                    }
                }
            }
        }
    }
    asking.abort();
    let mut seen = Seen::line(format!(
        "a session with {valid_s} s of its token left: {answers} great answers, the last after {:.1} s; {ended}",
        last.as_secs_f64()
    ));
    if last > end + GRACE {
        seen.exceeded
            .push(format!("a session was served {:.1} s after its token's end and leeway", (last - end).as_secs_f64()));
    }
    Ok(seen)
}

fn is_error(reply: &tertulia_proto::chat::v1::SessionReply) -> bool {
    matches!(reply.result, Some(tertulia_proto::chat::v1::session_reply::Result::Error(_)) | None)
}
