//! Rows of both stores side by side: pages become streams, and two streams in one order become pairs.

use std::{cmp::Ordering, future::Future, pin::Pin};

use futures_util::{StreamExt as _, TryStreamExt as _, stream, stream::BoxStream};

use super::Result;

/// Rows in key order.
pub(super) type Rows<'a, T> = BoxStream<'a, Result<T>>;

/// All rows of a paged read that begins behind `start`. `fetch` gets the place of the last row; a page that is not full
/// is the last one.
pub(super) fn pages<'a, T, K, F>(
    limit: usize,
    start: K,
    place: impl Fn(&T) -> K + Send + 'a,
    fetch: impl Fn(K) -> F + Send + 'a,
) -> Rows<'a, T>
where
    T: Send + 'a,
    K: Send + 'a,
    F: Future<Output = Result<Vec<T>>> + Send + 'a,
{
    let all = stream::try_unfold((Some(start), place, fetch), move |(at, place, fetch)| async move {
        let Some(at) = at else {
            return Ok(None);
        };
        let page = fetch(at).await?;
        let next = page.last().filter(|_| page.len() >= limit).map(&place);
        Ok(Some((page, (next, place, fetch))))
    });
    all.map_ok(|page| stream::iter(page.into_iter().map(Ok))).try_flatten().boxed()
}

/// Rows that are at hand.
pub(super) fn at_hand<'a, T: Send + 'a>(rows: Vec<T>) -> Rows<'a, T> {
    stream::iter(rows.into_iter().map(Ok)).boxed()
}

/// What the source and the destination have under one key.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Pair<T> {
    /// The source alone.
    From(T),
    /// The destination alone.
    To(T),
    /// Both: the source's, the destination's.
    Both(T, T),
}

/// Two streams in the same strict order, paired by key.
pub(super) struct Join<'a, T, K> {
    from: Pin<Box<stream::Peekable<Rows<'a, T>>>>,
    to: Pin<Box<stream::Peekable<Rows<'a, T>>>>,
    key: fn(&T) -> K,
}

impl<T, K> std::fmt::Debug for Join<'_, T, K> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Join")
    }
}

impl<'a, T, K: Ord> Join<'a, T, K> {
    pub(super) fn new(from: Rows<'a, T>, to: Rows<'a, T>, key: fn(&T) -> K) -> Self {
        Self { from: Box::pin(from.peekable()), to: Box::pin(to.peekable()), key }
    }

    /// The next pair in key order.
    pub(super) async fn next(&mut self) -> Result<Option<Pair<T>>> {
        let (from, to) = tokio::join!(self.from.as_mut().peek(), self.to.as_mut().peek());
        let key = self.key;
        let order = match (from, to) {
            (None, None) => return Ok(None),
            // An error is met when it is taken off its stream below.
            (Some(Err(_)), _) | (Some(Ok(_)), None) => Ordering::Less,
            (_, Some(Err(_))) | (None, Some(Ok(_))) => Ordering::Greater,
            (Some(Ok(from)), Some(Ok(to))) => key(from).cmp(&key(to)),
        };
        Ok(match order {
            Ordering::Less => self.from.try_next().await?.map(Pair::From),
            Ordering::Greater => self.to.try_next().await?.map(Pair::To),
            Ordering::Equal => match (self.from.try_next().await?, self.to.try_next().await?) {
                (Some(from), Some(to)) => Some(Pair::Both(from, to)),
                (Some(from), None) => Some(Pair::From(from)),
                (None, Some(to)) => Some(Pair::To(to)),
                (None, None) => None,
            },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbers<'a>(all: &'a [u32], limit: usize) -> Rows<'a, u32> {
        pages(
            limit,
            0,
            |last| *last,
            move |after| async move { Ok(all.iter().copied().filter(|n| *n > after).take(limit).collect()) },
        )
    }

    #[tokio::test]
    async fn pairs_come_in_order_whatever_the_pages() {
        let (from, to) = ([1, 2, 3, 5, 9], [2, 3, 4, 9, 10, 11]);
        for limit in 1..8 {
            let mut join = Join::new(numbers(&from, limit), numbers(&to, limit), |n| *n);
            let mut pairs = Vec::new();
            while let Some(pair) = join.next().await.unwrap() {
                pairs.push(pair);
            }
            let expected = [
                Pair::From(1),
                Pair::Both(2, 2),
                Pair::Both(3, 3),
                Pair::To(4),
                Pair::From(5),
                Pair::Both(9, 9),
                Pair::To(10),
                Pair::To(11),
            ];
            assert_eq!(pairs, expected, "{limit}");
        }
    }
}
