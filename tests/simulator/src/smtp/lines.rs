//! Lines in, replies out: limits, pipelining, and the message between DATA and its final dot.
//! Promises: reads no line longer than its limit into memory; replies to pipelined commands leave together; only
//! CRLF `.` CRLF ends a message.

use super::session::Reply;
use std::io;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

/// Octets of a command line with its CRLF. RFC 5321 asks for 512; AUTH (RFC 4954) for up to 12,288.
const COMMAND: usize = 12_288;
/// Octets of a line of text with its CRLF.
const TEXT: usize = 1_000;

/// A client's stream, buffered in both directions.
pub(super) struct Lines<S> {
    stream: S,
    input: Vec<u8>,
    output: Vec<u8>,
}

/// A message as it came, its dots undone.
pub(super) struct Data {
    pub(super) text: Vec<u8>,
    /// Why it cannot be accepted, whatever it says.
    pub(super) fault: Option<Reply>,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Lines<S> {
    pub(super) fn new(stream: S) -> Self {
        Self { stream, input: Vec::with_capacity(4_096), output: Vec::with_capacity(512) }
    }

    /// Gives the stream back; what was read and not used is lost.
    pub(super) fn into_inner(self) -> S {
        self.stream
    }

    /// Puts a reply in line; it leaves before the next read that has to wait.
    pub(super) fn write(&mut self, reply: &Reply) {
        reply.write(&mut self.output);
    }

    pub(super) async fn flush(&mut self) -> io::Result<()> {
        self.stream.write_all(&self.output).await?;
        self.output.clear();
        self.stream.flush().await
    }

    pub(super) async fn close(&mut self) -> io::Result<()> {
        self.flush().await?;
        self.stream.shutdown().await
    }

    /// The next command without its CRLF, or what is wrong with it; `None` at the end. May be dropped and called again.
    pub(super) async fn command(&mut self) -> io::Result<Option<Result<String, Reply>>> {
        loop {
            if let Some(end) = self.input.iter().position(|&byte| byte == b'\n') {
                let line: Vec<u8> = self.input.drain(..=end).collect();
                let Some(line) = line.strip_suffix(b"\r\n") else {
                    return Ok(Some(Err(Reply::new(500, "5.5.2", "Lines must end in CRLF"))));
                };
                if line.len() + 2 > COMMAND {
                    return Ok(Some(Err(Reply::new(500, "5.5.2", "Line too long"))));
                }
                let text = String::from_utf8(line.to_vec());
                return Ok(Some(text.map_err(|_| Reply::new(500, "5.5.2", "Not valid UTF-8"))));
            }
            if self.input.len() > COMMAND {
                self.write(&Reply::new(421, "4.7.0", "Line too long, closing"));
                self.close().await?;
                return Ok(None);
            }
            self.flush().await?;
            if self.stream.read_buf(&mut self.input).await? == 0 {
                return Ok(None);
            }
        }
    }

    /// Waits until the client has sent something more.
    pub(super) async fn some(&mut self) -> io::Result<()> {
        if self.input.is_empty() {
            self.stream.read_buf(&mut self.input).await?;
        }
        Ok(())
    }

    /// The message up to its final dot; `None` when the client left before. Above `max` bytes the rest is read and dropped.
    pub(super) async fn data(&mut self, max: usize) -> io::Result<Option<Data>> {
        let mut text = Vec::new();
        let mut fault = None;
        let mut searched = 0;
        loop {
            while let Some(found) = crlf(&self.input[searched..]) {
                let end = searched + found;
                let line = &self.input[..end];
                if line == b"." {
                    self.input.drain(..end + 2);
                    return Ok(Some(Data { text, fault }));
                }
                let plain = line.strip_prefix(b".").unwrap_or(line);
                if plain.iter().any(|byte| matches!(byte, b'\r' | b'\n')) {
                    fault.get_or_insert_with(|| Reply::new(554, "5.6.0", "Bare CR or LF in the message"));
                } else if plain.len() + 2 > TEXT {
                    fault.get_or_insert_with(|| Reply::new(554, "5.6.0", "Line longer than 1000 octets"));
                }
                if text.len() + plain.len() + 2 > max {
                    fault = Some(Reply::new(552, "5.3.4", "Message size exceeds fixed maximum message size"));
                } else {
                    text.extend_from_slice(plain);
                    text.extend_from_slice(b"\r\n");
                }
                self.input.drain(..end + 2);
                searched = 0;
            }
            searched = self.input.len().saturating_sub(1);
            if self.input.len() > max.saturating_add(TEXT) {
                // A single endless line: keep its last byte, which may be the CR of its end.
                fault.get_or_insert_with(|| Reply::new(554, "5.6.0", "Line longer than 1000 octets"));
                self.input.drain(..searched);
                searched = 0;
            }
            if self.stream.read_buf(&mut self.input).await? == 0 {
                return Ok(None);
            }
        }
    }
}

fn crlf(bytes: &[u8]) -> Option<usize> {
    bytes.windows(2).position(|pair| pair == b"\r\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn data_of(input: &[u8], max: usize) -> Option<Data> {
        let (mut client, server) = tokio::io::duplex(64);
        let mut lines = Lines::new(server);
        let sending = async {
            client.write_all(input).await.unwrap();
            drop(client);
        };
        let ((), read) = tokio::join!(sending, lines.data(max));
        read.unwrap()
    }

    #[tokio::test]
    async fn dots_are_undone_and_only_the_last_one_ends() {
        let data = data_of(b"A: b\r\n\r\n..dot\r\n...\r\nx.\r\n.\r\n", 1_000).await.unwrap();
        assert_eq!(data.text, b"A: b\r\n\r\n.dot\r\n..\r\nx.\r\n");
        assert!(data.fault.is_none());
    }

    #[tokio::test]
    async fn a_bare_line_feed_neither_ends_nor_passes() {
        let data = data_of(b"a\n.\nb\r\n.\r\n", 1_000).await.unwrap();
        assert_eq!(data.fault.unwrap().code, 554);
    }

    #[tokio::test]
    async fn too_large_is_read_to_its_end_and_refused() {
        let data = data_of(b"aaaa\r\nbbbb\r\ncccc\r\n.\r\n", 10).await.unwrap();
        assert_eq!(data.fault.unwrap().code, 552);
    }

    #[tokio::test]
    async fn a_line_over_1000_octets_is_refused() {
        let fits = [vec![b'a'; 998], b"\r\n.\r\n".to_vec()].concat();
        assert!(data_of(&fits, 5_000).await.unwrap().fault.is_none());
        let long = [vec![b'a'; 999], b"\r\n.\r\n".to_vec()].concat();
        assert_eq!(data_of(&long, 5_000).await.unwrap().fault.unwrap().code, 554);
    }

    #[tokio::test]
    async fn a_client_that_leaves_early_sent_nothing() {
        assert!(data_of(b"a\r\n", 100).await.is_none());
    }
}
