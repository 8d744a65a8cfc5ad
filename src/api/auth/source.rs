//! Reading one source of keys.

use std::path::{Path, PathBuf};
use std::time::Duration;

use reqwest::{Client, Url, redirect};
use secrecy::ExposeSecret;
use tracing::warn;

use super::jwks::{self, Secrets};
use super::keys::VerificationKey;
use super::options::KeySource;
use super::{KeyError, pem};
use crate::secret_file;

type Keys = Vec<VerificationKey>;

/// A source that can be read again and again.
#[derive(Debug)]
pub(super) enum Source {
    /// Read once: it cannot change while the process lives.
    Fixed(Keys),
    File(PathBuf, FileKind),
    Url {
        client: Client,
        url: Url,
    },
}

#[derive(Clone, Copy, Debug)]
pub(super) enum FileKind {
    Secret,
    Pem,
    Jwks,
}

impl Source {
    pub(super) fn new(source: KeySource, fetch_timeout: Duration) -> Result<Self, KeyError> {
        Ok(match source {
            KeySource::HmacSecret(secret) => {
                let secret = secret.expose_secret().as_bytes();
                let key = VerificationKey::from_secret(None, secret)
                    .map_err(|problem| invalid("the configured secret", problem))?;
                Self::Fixed(vec![key])
            }
            KeySource::HmacSecretFile(path) => Self::File(path, FileKind::Secret),
            KeySource::PublicKeyFile(path) => Self::File(path, FileKind::Pem),
            KeySource::JwksFile(path) => Self::File(path, FileKind::Jwks),
            KeySource::JwksUrl(url) => Self::from_url(&url, fetch_timeout)?,
        })
    }

    fn from_url(url: &str, fetch_timeout: Duration) -> Result<Self, KeyError> {
        let url = Url::parse(url).map_err(|err| invalid("the key set address", err.to_string()))?;
        if !matches!(url.scheme(), "http" | "https") {
            let problem = "it is neither an http nor an https address".to_owned();
            return Err(invalid("the key set address", problem));
        }
        if url.scheme() == "http" {
            warn!(url = printable(&url), "key set is fetched without tls: trust the way to it");
        }
        let builder = Client::builder()
            // A redirect could lead from https to http, or inside.
            .redirect(redirect::Policy::none())
            .timeout(fetch_timeout);
        let builder = if url.scheme() == "http" {
            // Else a machine without certificates (a bare container) could not start.
            builder.tls_certs_only([])
        } else {
            builder
        };
        let client = builder.build().map_err(|err| fetch_error(&url, err))?;
        Ok(Self::Url { client, url })
    }

    /// Whether its keys can have a `kid`.
    pub(super) fn is_named(&self) -> bool {
        matches!(self, Self::Url { .. } | Self::File(_, FileKind::Jwks))
    }

    /// What the source holds now, as bytes; `None` if it never changes.
    pub(super) async fn read(&self) -> Result<Option<Vec<u8>>, KeyError> {
        match self {
            Self::Fixed(_) => Ok(None),
            Self::File(path, _) => {
                let path = path.clone();
                let read = move || read_file(&path);
                // A file system can hang; the threads that serve calls must not hang with it.
                let content = tokio::task::spawn_blocking(read).await;
                content.unwrap_or_else(|_| Err(invalid("a key file", "not read".to_owned()))).map(Some)
            }
            Self::Url { client, url } => fetch(client, url).await.map(Some),
        }
    }

    /// The keys in these bytes.
    pub(super) fn parse(&self, content: &[u8]) -> Result<Keys, KeyError> {
        match self {
            Self::Fixed(keys) => Ok(keys.clone()),
            Self::File(path, kind) => {
                let keys = match kind {
                    FileKind::Secret => parse_secret(content),
                    FileKind::Pem => pem::parse(content),
                    FileKind::Jwks => jwks::parse(content, Secrets::Allowed),
                };
                keys.map_err(|problem| invalid(&path.display().to_string(), problem))
            }
            Self::Url { url, .. } => {
                jwks::parse(content, Secrets::Refused).map_err(|problem| invalid(&printable(url), problem))
            }
        }
    }
}

/// Reads a key file on the calling thread.
pub(super) fn read_file(path: &Path) -> Result<Vec<u8>, KeyError> {
    secret_file::read(path).map_err(|source| KeyError::File { path: path.to_owned(), source })
}

/// The secret without the line break that editors put at the end.
fn parse_secret(content: &[u8]) -> Result<Keys, String> {
    let content = content.strip_suffix(b"\n").unwrap_or(content);
    let content = content.strip_suffix(b"\r").unwrap_or(content);
    VerificationKey::from_secret(None, content).map(|key| vec![key])
}

async fn fetch(client: &Client, url: &Url) -> Result<Vec<u8>, KeyError> {
    let bad_answer = |problem: String| KeyError::Answer { url: printable(url), problem };
    let mut response = client
        .get(url.clone())
        .header(http::header::ACCEPT, "application/jwk-set+json, application/json")
        .send()
        .await
        .map_err(|err| fetch_error(url, err))?;
    if response.status() != http::StatusCode::OK {
        return Err(bad_answer(format!("status {}", response.status())));
    }
    let mut content = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(|err| fetch_error(url, err))? {
        if (content.len() + chunk.len()) as u64 > secret_file::LEN_MAX {
            return Err(bad_answer("longer than 1 MiB".to_owned()));
        }
        content.extend_from_slice(&chunk);
    }
    Ok(content)
}

/// The address without what may be a credential.
fn printable(url: &Url) -> String {
    let host = url.host_str().unwrap_or("");
    let port = url.port().map(|port| format!(":{port}"));
    format!("{}://{host}{}{}", url.scheme(), port.unwrap_or_default(), url.path())
}

fn fetch_error(url: &Url, err: reqwest::Error) -> KeyError {
    KeyError::Fetch { url: printable(url), source: err.without_url() }
}

fn invalid(origin: &str, problem: String) -> KeyError {
    KeyError::Invalid { origin: origin.to_owned(), problem }
}
