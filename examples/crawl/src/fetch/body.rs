use encoding_rs::Encoding;
use reqwest::Response;
use reqwest::header::CONTENT_TYPE;

use crate::charset;

/// What of a page is read: the rest is neither waited for nor kept.
pub const BODY_MAX: usize = 16 << 20;

/// A body that nobody wants is read all the same when it is this short, since that keeps the
/// connection for the next request.
const DRAIN_MAX: u64 = 64 << 10;

/// Which bodies are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Read {
    /// None: the status is enough.
    Nothing,
    /// That of a page.
    Html,
    /// Any, up to so many bytes.
    UpTo(usize),
}

/// The bytes of a body, and what its header says of them.
#[derive(Debug, Default)]
pub struct Body {
    /// At most [`BODY_MAX`] of them.
    pub bytes: Vec<u8>,
    /// There were more.
    pub truncated: bool,
    /// The charset in the header.
    pub charset: Option<&'static Encoding>,
    /// It is XHTML.
    pub xml: bool,
}

impl Body {
    /// Receives what is to be read of a response.
    pub(super) async fn receive(
        response: Response,
        read: Read,
    ) -> Result<Option<Self>, reqwest::Error> {
        let content_type = response
            .headers()
            .get(CONTENT_TYPE)
            .and_then(|value| value.to_str().ok())
            .unwrap_or("");
        let essence = content_type.split(';').next().unwrap_or("").trim();
        let xml = essence.eq_ignore_ascii_case("application/xhtml+xml");
        let is_page = xml || essence.eq_ignore_ascii_case("text/html");
        let charset = charset::of_content_type(content_type);

        let max = match read {
            Read::Html if is_page => BODY_MAX,
            Read::UpTo(max) => max,
            Read::Html | Read::Nothing => {
                drain(response).await;
                return Ok(None);
            }
        };
        let (bytes, truncated) = read_up_to(max, response).await?;
        Ok(Some(Self {
            bytes,
            truncated,
            charset,
            xml,
        }))
    }
}

/// The first `max` bytes, and whether there were more.
async fn read_up_to(max: usize, mut response: Response) -> Result<(Vec<u8>, bool), reqwest::Error> {
    let mut bytes = Vec::new();
    while let Some(chunk) = response.chunk().await? {
        let room = max - bytes.len();
        if chunk.len() > room {
            bytes.extend_from_slice(&chunk[..room]);
            return Ok((bytes, true));
        }
        bytes.extend_from_slice(&chunk);
    }
    Ok((bytes, false))
}

/// Reads a short body that nobody wants, for the connection's sake. A long one is not worth it:
/// dropping the response closes the connection. Nor is an error here, since the answer is known.
pub(super) async fn drain(mut response: Response) {
    if response
        .content_length()
        .is_some_and(|length| length <= DRAIN_MAX)
    {
        while let Ok(Some(_)) = response.chunk().await {}
    }
}
