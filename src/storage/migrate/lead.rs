//! Which of two stores that follow each other serves: the one that has everything.
//!
//! Each time a server starts on a store, a *term* begins, with a number greater than all before. A store knows these
//! numbers, kept as cursors of no room: the last term that it knows of, the last one in which it was served, and the
//! last one whose writes it has all of, because it was served or because its follower was stopped when it had brought
//! everything. A store may be served if it has all of the last term in which anything was written; one that was begun
//! and not served, because the process died over these very numbers, counts for nothing, and each store knows which one
//! it has begun. So a second store that lacks an acknowledged message
//! does not become the first one, and the first one is not gone back to without what the second one took.
//!
//! Numbers, not clocks; and nothing here keeps two servers from writing at once, which is what epochs are for.

use super::super::{Result, Store, StoreError, consumers::STORE};
use crate::domain::ids::Seq;

/// The last term that is known of.
const KNOWN: &str = "mirror.term";
/// The last one that was begun here.
const BEGUN: &str = "mirror.begun";
/// The last one in which this store was served.
const SERVED: &str = "mirror.served";
/// The last one that this store has all of.
const WHOLE: &str = "mirror.whole";

/// Number of a term, from 1; 0 is before all.
pub type Term = u64;

/// A store must not be served.
#[derive(Debug, thiserror::Error)]
pub enum LeadError {
    /// Messages that were acknowledged would be missing.
    #[error(
        "this store has everything up to term {whole}, and the other one was written to in term {term}: start once \
         more on the other store with this one following (see docs/migrating.md) and stop in order, or start with \
         --accept-data-loss to go on without what only the other one has"
    )]
    Behind {
        /// The last term it has all of.
        whole: Term,
        /// The last term there was.
        term: Term,
    },
    /// Whether the other store has more cannot be asked, and this one was not the last to be served.
    #[error("this store was not the last one that was served, and the other one cannot be asked whether it has more")]
    Unasked(#[source] Option<StoreError>),
    /// A store failed.
    #[error("the terms cannot be read or written")]
    Store(#[from] StoreError),
}

/// What one store knows.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Terms {
    known: Term,
    begun: Term,
    served: Term,
    whole: Term,
}

impl Terms {
    async fn read(store: &dyn Store) -> Result<Self> {
        let known = store.cursor(KNOWN, STORE).await?.0;
        let begun = store.cursor(BEGUN, STORE).await?.0;
        let served = store.cursor(SERVED, STORE).await?.0;
        let whole = store.cursor(WHOLE, STORE).await?.0;
        Ok(Self { known, begun, served, whole })
    }

    /// No number up to this one is given to another term.
    fn newest(self) -> Term {
        self.known.max(self.begun)
    }

    /// Whether no other store was served since this one.
    const fn was_last(self) -> bool {
        self.served == self.known || self.begun == self.known
    }
}

/// Begins a term in which `store` is served, with `other` following if it can be reached. `in_spite` of what is missing.
///
/// # Errors
/// [`LeadError`]; then nothing but the number of a term may have been written.
pub async fn begin(
    store: &dyn Store,
    other: std::result::Result<&dyn Store, StoreError>,
    in_spite: bool,
) -> std::result::Result<Term, LeadError> {
    let own = Terms::read(store).await?;
    let theirs = match &other {
        Ok(other) => Some(Terms::read(*other).await?),
        // Nobody was served since: the other one cannot have more.
        Err(_) if own.was_last() || in_spite => None,
        Err(_) => return Err(LeadError::Unasked(other.err())),
    };
    let served = theirs.map_or(own.served, |theirs| own.served.max(theirs.served));
    if own.whole < served && !in_spite {
        return Err(LeadError::Behind { whole: own.whole, term: served });
    }
    let term = theirs.map_or(0, Terms::newest).max(own.newest()) + 1;
    put(store, BEGUN, term).await?;
    // The other one first: from here on it knows that it does not have everything.
    if let Ok(other) = other {
        put(other, KNOWN, term).await?;
    }
    for name in [KNOWN, WHOLE, SERVED] {
        put(store, name, term).await?;
    }
    Ok(term)
}

/// Begins a term in which `store` is served and none follows. A store that never had another one is left as it is.
///
/// # Errors
/// As [`begin`].
pub async fn begin_alone(store: &dyn Store, in_spite: bool) -> std::result::Result<(), LeadError> {
    let own = Terms::read(store).await?;
    if own.known == 0 {
        return Ok(());
    }
    if own.whole < own.known && !own.was_last() && !in_spite {
        return Err(LeadError::Behind { whole: own.whole, term: own.known });
    }
    for name in [BEGUN, KNOWN, WHOLE, SERVED] {
        put(store, name, own.newest() + 1).await?;
    }
    Ok(())
}

/// Tells a store that was away when `term` began that it does not have everything.
///
/// # Errors
/// What the store answers; and if it was itself served meanwhile.
pub async fn told(other: &dyn Store, term: Term) -> std::result::Result<(), LeadError> {
    let theirs = Terms::read(other).await?;
    if theirs.known > term || theirs.served == term {
        return Err(LeadError::Behind { whole: term, term: theirs.known });
    }
    // It may have begun a term of that number itself, which came to nothing: this is not that one.
    let number = if theirs.begun >= term { theirs.begun + 1 } else { term };
    Ok(put(other, KNOWN, number).await?)
}

/// `other` has all of `term`, in which nothing will be written any more.
///
/// # Errors
/// What the store answers.
pub async fn ended(other: &dyn Store, term: Term) -> Result<()> {
    put(other, WHOLE, term).await
}

async fn put(store: &dyn Store, name: &str, term: Term) -> Result<()> {
    store.put_cursor(name, STORE, Seq(term)).await
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::{StoreErrorKind, embedded::EmbeddedStore};

    fn away() -> std::result::Result<&'static dyn Store, StoreError> {
        Err(StoreError::new(StoreErrorKind::Unavailable, "open"))
    }

    async fn serve(store: &dyn Store, other: &dyn Store) -> std::result::Result<Term, LeadError> {
        begin(store, Ok(other), false).await
    }

    #[tokio::test]
    async fn there_and_back_with_everything() {
        let (a, b) = (EmbeddedStore::in_memory(), EmbeddedStore::in_memory());
        let term = serve(&a, &b).await.unwrap();
        ended(&b, term).await.unwrap();
        let term = serve(&b, &a).await.unwrap();
        // Killed; and once more.
        let again = serve(&b, &a).await.unwrap();
        assert!(again > term);
        assert!(matches!(serve(&a, &b).await, Err(LeadError::Behind { .. })), "what b took is not in a");
        ended(&a, again).await.unwrap();
        serve(&a, &b).await.unwrap();
        assert!(matches!(serve(&b, &a).await, Err(LeadError::Behind { .. })));
        begin(&b, Ok(&a), true).await.unwrap();
    }

    #[tokio::test]
    async fn a_second_store_that_never_had_everything_is_refused() {
        let (a, b) = (EmbeddedStore::in_memory(), EmbeddedStore::in_memory());
        serve(&a, &b).await.unwrap();
        assert!(matches!(serve(&b, &a).await, Err(LeadError::Behind { whole: 0, term: 1 })));
        assert!(matches!(begin_alone(&b, false).await, Err(LeadError::Behind { .. })), "nor by itself");
        begin_alone(&a, false).await.unwrap();
        // What a took alone is not in b either.
        ended(&b, 1).await.unwrap();
        assert!(matches!(serve(&b, &a).await, Err(LeadError::Behind { whole: 1, term: 2 })));
    }

    #[tokio::test]
    async fn one_that_is_away_stops_only_who_was_not_served_last() {
        let (a, b) = (EmbeddedStore::in_memory(), EmbeddedStore::in_memory());
        assert_eq!(begin(&a, away(), false).await.unwrap(), 1, "the first start of all");
        let term = serve(&a, &b).await.unwrap();
        ended(&b, term).await.unwrap();
        let alone = begin(&a, away(), false).await.unwrap();
        told(&b, alone).await.unwrap();
        assert!(matches!(begin(&b, away(), false).await, Err(LeadError::Unasked(_))));
        ended(&b, alone).await.unwrap();
        let other = serve(&b, &a).await.unwrap();
        assert!(matches!(begin(&a, away(), false).await, Err(LeadError::Unasked(_))));
        assert!(told(&b, other).await.is_err(), "it is served itself");
    }

    /// The process dies between two of the numbers that begin a term.
    #[tokio::test]
    async fn a_term_that_was_only_begun_counts_for_nothing() {
        let orders = [&[(0, BEGUN), (1, KNOWN), (0, KNOWN), (0, WHOLE)][..], &[(0, BEGUN), (0, KNOWN), (0, WHOLE)][..]];
        for (order, written) in orders.into_iter().flat_map(|order| (1..=order.len()).map(move |n| (order, n))) {
            let stores = [EmbeddedStore::in_memory(), EmbeddedStore::in_memory()];
            let [a, b] = &stores;
            let term = serve(a, b).await.unwrap();
            ended(b, term).await.unwrap();
            for (of, name) in &order[..written] {
                put(&stores[*of], name, term + 1).await.unwrap();
            }
            let last = begin(a, away(), false).await;
            assert!(last.is_ok(), "{written} of {order:?}: the other away: {last:?}");
            let stores = [EmbeddedStore::in_memory(), EmbeddedStore::in_memory()];
            let [a, b] = &stores;
            let term = serve(a, b).await.unwrap();
            ended(b, term).await.unwrap();
            for (of, name) in &order[..written] {
                put(&stores[*of], name, term + 1).await.unwrap();
            }
            begin_alone(a, false).await.unwrap();
            assert!(matches!(serve(b, a).await, Err(LeadError::Behind { .. })), "what a took alone");
            let (c, d) = (EmbeddedStore::in_memory(), EmbeddedStore::in_memory());
            let term = serve(&c, &d).await.unwrap();
            ended(&d, term).await.unwrap();
            for (of, name) in &order[..written] {
                put(if *of == 0 { &c } else { &d }, name, term + 1).await.unwrap();
            }
            // Either may be served, and then the other one may not until it has everything.
            let term = serve(&d, &c).await.unwrap();
            assert!(matches!(serve(&c, &d).await, Err(LeadError::Behind { .. })), "{written} of {order:?}");
            assert!(begin(&c, away(), false).await.is_err(), "{written} of {order:?}: nor if it cannot be asked");
            assert!(begin_alone(&c, false).await.is_err(), "{written} of {order:?}: nor by itself");
            assert!(told(&c, term).await.is_ok());
            assert!(begin(&c, away(), false).await.is_err());
        }
    }

    /// One that is away has begun a term itself, and is told of another one of the same number.
    #[tokio::test]
    async fn a_number_that_was_begun_elsewhere_is_not_ones_own() {
        let (a, b) = (EmbeddedStore::in_memory(), EmbeddedStore::in_memory());
        let term = serve(&a, &b).await.unwrap();
        ended(&b, term).await.unwrap();
        put(&b, BEGUN, term + 1).await.unwrap();
        let next = begin(&a, away(), false).await.unwrap();
        assert_eq!(next, term + 1);
        told(&b, next).await.unwrap();
        assert!(begin(&b, away(), false).await.is_err());
        assert!(begin_alone(&b, false).await.is_err());
        ended(&b, next).await.unwrap();
        serve(&b, &a).await.unwrap();
    }

    #[tokio::test]
    async fn a_store_that_is_alone_stays_as_it_is() {
        let a = EmbeddedStore::in_memory();
        begin_alone(&a, false).await.unwrap();
        assert_eq!(Terms::read(&a).await.unwrap(), Terms { known: 0, begun: 0, served: 0, whole: 0 });
    }
}
