//! Who is connected. Connections are shared out: an address has so many, the process has so many, and those that have
//! shown no token give way to others, the oldest of the address that has the most of them first. A few beyond the limit
//! are kept for whoever asks how the server is. Knows no sockets: it counts, and says who has to go.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    net::{IpAddr, Ipv6Addr},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};

use parking_lot::Mutex;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::networks::Networks;

/// Connections beyond the limit, for health and metrics alone.
const RESERVE: usize = 16;
/// Answers without a known end that a stranger may have at a time on one connection. Who has more wants nothing else.
const WAITING_MAX: usize = 64;

/// How many connections there may be.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct GuestsOptions {
    /// In the process.
    pub connections_max: usize,
    /// From one address, or one /64 of IPv6; 0 is without limit.
    pub per_address_max: usize,
    /// Addresses that are not counted: a proxy stands there.
    pub uncounted: Networks,
}

/// All that are connected.
#[derive(Debug)]
pub(super) struct Guests {
    options: GuestsOptions,
    register: Mutex<Register>,
}

#[derive(Default, Debug)]
struct Register {
    last_id: u64,
    /// Without the reserve.
    seated: usize,
    reserve: BTreeMap<u64, Arc<Guest>>,
    addresses: HashMap<IpAddr, Place>,
    /// Addresses by their number of strangers; those without any are not in it.
    crowds: BTreeSet<(usize, IpAddr)>,
}

#[derive(Default, Debug)]
struct Place {
    all: usize,
    strangers: BTreeMap<u64, Arc<Guest>>,
}

/// One connection.
#[derive(Debug)]
pub(super) struct Guest {
    id: u64,
    address: IpAddr,
    in_reserve: bool,
    guests: Arc<Guests>,
    /// Has shown a valid token.
    known: AtomicBool,
    /// Is in the register.
    counted: AtomicBool,
    /// Must go at once.
    out: CancellationToken,
    bytes: Arc<AtomicUsize>,
    waiting: AtomicUsize,
    came: Instant,
    /// When it called last while it was a stranger, in ms after it came; 0 before.
    called_ms: AtomicU64,
}

/// A guest's place, until it is dropped.
#[derive(Debug)]
pub(super) struct Seat(Arc<Guest>);

/// An answer to a stranger that waits to be read, until it is dropped.
#[derive(Debug)]
pub(super) struct Waiting(Arc<Guest>);

impl Guests {
    pub(super) fn new(options: GuestsOptions) -> Arc<Self> {
        Arc::new(Self { options, register: Mutex::default() })
    }

    /// A place for one who comes from there; none if that address has as many as it may and shows tokens on all.
    pub(super) fn seat(self: &Arc<Self>, from: IpAddr) -> Option<Seat> {
        let address = share(from);
        let mut register = self.register.lock();
        let per_address_max = if self.options.uncounted.contains(from) { 0 } else { self.options.per_address_max };
        if let Some(place) = register.addresses.get(&address)
            && per_address_max > 0
            && place.all >= per_address_max
        {
            let oldest = place.strangers.first_key_value().map(|(_, guest)| Arc::clone(guest))?;
            register.turn_out(&oldest);
        }
        let mut in_reserve = false;
        if register.seated >= self.options.connections_max && !register.make_room() {
            in_reserve = true;
            if register.reserve.len() >= RESERVE
                && let Some((_, oldest)) = register.reserve.pop_first()
            {
                oldest.out.cancel();
            }
        }
        register.last_id += 1;
        let guest = Arc::new(Guest {
            id: register.last_id,
            address,
            in_reserve,
            guests: Arc::clone(self),
            known: AtomicBool::new(false),
            counted: AtomicBool::new(true),
            out: CancellationToken::new(),
            bytes: Arc::default(),
            waiting: AtomicUsize::new(0),
            came: Instant::now(),
            called_ms: AtomicU64::new(0),
        });
        register.enter(&guest);
        Some(Seat(guest))
    }

    /// Turns a stranger out, for want of something else than seats; whether there was one.
    pub(super) fn make_room(&self) -> bool {
        self.register.lock().make_room()
    }
}

impl Register {
    fn enter(&mut self, guest: &Arc<Guest>) {
        if guest.in_reserve {
            self.reserve.insert(guest.id, Arc::clone(guest));
            return;
        }
        self.seated += 1;
        let place = self.addresses.entry(guest.address).or_default();
        place.all += 1;
        let before = place.strangers.len();
        place.strangers.insert(guest.id, Arc::clone(guest));
        self.crowd(guest.address, before, before + 1);
    }

    fn leave(&mut self, guest: &Guest) {
        if !guest.counted.swap(false, Relaxed) {
            return;
        }
        if guest.in_reserve {
            self.reserve.remove(&guest.id);
            return;
        }
        self.seated -= 1;
        self.no_stranger(guest);
        if let Some(place) = self.addresses.get_mut(&guest.address) {
            place.all -= 1;
            if place.all == 0 {
                self.addresses.remove(&guest.address);
            }
        }
    }

    fn no_stranger(&mut self, guest: &Guest) {
        let Some(place) = self.addresses.get_mut(&guest.address) else { return };
        let before = place.strangers.len();
        if place.strangers.remove(&guest.id).is_some() {
            self.crowd(guest.address, before, before - 1);
        }
    }

    fn crowd(&mut self, address: IpAddr, before: usize, after: usize) {
        self.crowds.remove(&(before, address));
        if after > 0 {
            self.crowds.insert((after, address));
        }
    }

    fn turn_out(&mut self, guest: &Arc<Guest>) {
        self.leave(guest);
        guest.out.cancel();
    }

    fn make_room(&mut self) -> bool {
        let crowd = self.crowds.last().and_then(|(_, address)| self.addresses.get(address));
        let oldest = crowd.and_then(|place| place.strangers.first_key_value()).map(|(_, guest)| Arc::clone(guest));
        if let Some(guest) = &oldest {
            self.turn_out(guest);
        }
        oldest.is_some()
    }
}

impl Guest {
    /// Whether only health and metrics are for it.
    pub(super) const fn is_in_reserve(&self) -> bool {
        self.in_reserve
    }

    /// Whether it has shown no valid token yet.
    pub(super) fn is_stranger(&self) -> bool {
        !self.known.load(Relaxed)
    }

    /// It has shown a valid token.
    pub(super) fn is_known(&self) {
        if self.is_stranger() && !self.known.swap(true, Relaxed) {
            self.guests.register.lock().no_stranger(self);
        }
    }

    /// Bytes of requests under way on it.
    pub(super) fn bytes(&self) -> Arc<AtomicUsize> {
        Arc::clone(&self.bytes)
    }

    /// It calls.
    pub(super) fn calls(&self) {
        if self.is_stranger() {
            let ms = u64::try_from(self.came.elapsed().as_millis()).unwrap_or(u64::MAX);
            self.called_ms.store(ms.max(1), Relaxed);
        }
    }

    /// When it came.
    pub(super) const fn came(&self) -> Instant {
        self.came
    }

    /// When it called last; not exact for one that is known.
    pub(super) fn called(&self) -> Option<Instant> {
        match self.called_ms.load(Relaxed) {
            0 => None,
            ms => Some(self.came + Duration::from_millis(ms)),
        }
    }

    /// An answer to it has to wait until it reads. A stranger who lets too many of them wait is turned out.
    pub(super) fn waits(self: &Arc<Self>) -> Waiting {
        if self.waiting.fetch_add(1, Relaxed) >= WAITING_MAX && self.is_stranger() {
            self.out.cancel();
        }
        Waiting(Arc::clone(self))
    }

    /// Done when it must go at once.
    pub(super) async fn turned_out(&self) {
        self.out.cancelled().await;
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.0.waiting.fetch_sub(1, Relaxed);
    }
}

impl Seat {
    pub(super) fn guest(&self) -> Arc<Guest> {
        Arc::clone(&self.0)
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut register = self.0.guests.register.lock();
        register.leave(&self.0);
    }
}

/// What shares one bound: an address, or the /64 that one subscriber of IPv6 is given.
fn share(from: IpAddr) -> IpAddr {
    match from.to_canonical() {
        IpAddr::V4(v4) => v4.into(),
        IpAddr::V6(v6) => Ipv6Addr::from_bits(v6.to_bits() & (u128::MAX << 64)).into(),
    }
}

#[cfg(test)]
#[path = "guests_tests.rs"]
mod tests;
