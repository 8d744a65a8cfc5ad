//! The plan of one room: who is a member under which name as the log goes on.

use std::collections::{BTreeMap, HashMap, HashSet};

use super::{CONTENT_BYTES_MAX, OWNER_ID, Op, Outgoing, People, Reason, RoomPlan, Skipped, Step, client_message_id};
use crate::{
    client::irc::{Hour, Kind, Line, nick::fold},
    domain::form,
};

pub(super) fn plan(hour: &Hour, people: &People) -> RoomPlan {
    let mut builder = Builder {
        log: &hour.name,
        people,
        members: HashMap::new(),
        bound: HashMap::new(),
        sent: HashSet::new(),
        plan: RoomPlan {
            name: hour.name.clone(),
            first_member: None,
            steps: Vec::new(),
            skipped: Vec::new(),
            counts: hour.counts(),
        },
    };
    for line in &hour.lines {
        builder.line(line);
    }
    builder.plan
}

struct Builder<'a> {
    log: &'a str,
    people: &'a People,
    /// Members and the names they go by in the room.
    members: HashMap<i64, String>,
    /// Folded nick to the user who holds it; all of them members.
    bound: HashMap<String, i64>,
    /// Lines that became messages of people.
    sent: HashSet<usize>,
    plan: RoomPlan,
}

impl Builder<'_> {
    fn line(&mut self, line: &Line) {
        match line.kind {
            Kind::Message | Kind::Action => self.spoken(line),
            Kind::Join => self.join(line),
            Kind::Leave | Kind::Quit => self.leave(line),
            Kind::Rename => self.rename(line),
            Kind::Topic | Kind::Notice => self.notice(line),
        }
    }

    fn spoken(&mut self, line: &Line) {
        // Even somebody who says nothing is there from here on.
        let user = self.present(line, &line.nick);
        let mentioned = line.mention.as_deref().and_then(|nick| self.bound.get(&fold(nick)));
        let mentions = mentioned.copied().into_iter().collect();
        let kind = (line.kind == Kind::Action).then_some("action");
        if self.send(line, user, mentions, kind) {
            self.sent.insert(line.number);
        }
    }

    fn notice(&mut self, line: &Line) {
        let kind = if line.kind == Kind::Topic { "topic" } else { "notice" };
        self.send(line, OWNER_ID, Vec::new(), Some(kind));
    }

    /// False if the text cannot be sent.
    fn send(&mut self, line: &Line, user: i64, mentions: Vec<i64>, kind: Option<&str>) -> bool {
        let is_blank = form::is_blank(&line.text);
        if is_blank || line.text.len() > CONTENT_BYTES_MAX {
            let reason = if is_blank { Reason::NoText } else { Reason::TooLong };
            self.skip(line, reason);
            return false;
        }
        let labels = [("irc.kind", kind), ("irc.encoding", line.encoding.label())];
        let metadata = labels.into_iter().filter_map(|(key, value)| Some((key.to_owned(), value?.to_owned())));
        let message = Outgoing {
            user,
            client_message_id: client_message_id(self.log, line.number),
            sender_name: form::cleaned_name(&line.nick),
            content: line.text.clone(),
            reply_to_line: line.reply_to.filter(|answered| self.sent.contains(answered)),
            mentions,
            original_at: line.at,
            metadata: metadata.collect::<BTreeMap<_, _>>(),
            system: user == OWNER_ID,
        };
        self.step(line, false, Op::Send(message));
        true
    }

    fn join(&mut self, line: &Line) {
        let folded = fold(&line.nick);
        let (user, _) = self.people.user(&folded);
        if self.bound.contains_key(&folded) {
            self.skip(line, Reason::AlreadyMember);
        } else if self.members.contains_key(&user) || self.plan.first_member.is_none() {
            // The room is made with its first person in it.
            self.present(line, &line.nick);
            self.skip(line, Reason::AlreadyMember);
        } else {
            self.add(line, false, user, &folded);
        }
    }

    fn leave(&mut self, line: &Line) {
        let user = self.present(line, &line.nick);
        self.members.remove(&user);
        self.bound.remove(&fold(&line.nick));
        self.step(line, false, Op::Leave { user });
    }

    fn rename(&mut self, line: &Line) {
        let user = self.present(line, &line.nick);
        if self.members.get(&user) == Some(&line.text) {
            return self.skip(line, Reason::SameName);
        }
        self.bound.remove(&fold(&line.nick));
        // Whoever held the new name has gone without a trace, or the network would not have given it away. They stay
        // a member, since no line says that they left, until their nick turns up again.
        self.bound.insert(fold(&line.text), user);
        self.nickname(line, false, user, &line.text);
    }

    /// The user who holds `nick`; brought into the room, under this name, if they are not there.
    fn present(&mut self, line: &Line, nick: &str) -> i64 {
        let folded = fold(nick);
        if let Some(user) = self.bound.get(&folded) {
            return *user;
        }
        let (user, _) = self.people.user(&folded);
        if self.plan.first_member.is_none() {
            self.plan.first_member = Some(user);
            self.enter(user, &folded);
        } else if !self.members.contains_key(&user) {
            self.add(line, true, user, &folded);
        }
        // They may still be known by the name that they took when they gave this one up.
        self.bound.retain(|_, holder| *holder != user);
        self.bound.insert(folded.clone(), user);
        if self.members.get(&user).is_some_and(|name| fold(name) != folded) {
            self.nickname(line, true, user, nick);
        }
        user
    }

    fn add(&mut self, line: &Line, implied: bool, user: i64, folded: &str) {
        self.enter(user, folded);
        self.step(line, implied, Op::Add { user });
    }

    fn enter(&mut self, user: i64, folded: &str) {
        let (_, name) = self.people.user(folded);
        self.members.insert(user, name.to_owned());
        self.bound.insert(folded.to_owned(), user);
    }

    fn nickname(&mut self, line: &Line, implied: bool, user: i64, nickname: &str) {
        self.members.insert(user, nickname.to_owned());
        self.step(line, implied, Op::Nickname { user, nickname: nickname.to_owned() });
    }

    fn step(&mut self, line: &Line, implied: bool, op: Op) {
        self.plan.steps.push(Step { line: line.number, implied, op });
    }

    fn skip(&mut self, line: &Line, reason: Reason) {
        self.plan.skipped.push(Skipped { line: line.number, reason });
    }
}
