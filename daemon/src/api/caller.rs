//! Who calls.

use std::net::SocketAddr;

/// A client of the daemon, as far as its road tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    /// As the audit trail names it.
    pub name: String,
    /// Whether the kernel vouches for it; a caller that nobody vouches for needs the token.
    pub local: bool,
}

impl Caller {
    /// A local user, behind the Unix socket.
    pub(super) fn local(uid: u32) -> Self {
        let name = user_name(uid).map_or(format!("uid {uid}"), |name| format!("uid {uid} ({name})"));
        Self { name, local: true }
    }

    /// Somebody on TCP.
    pub(super) fn remote(from: SocketAddr) -> Self {
        Self { name: format!("token ({})", from.ip()), local: false }
    }
}

/// The name of a user in `/etc/passwd`; other directories are not asked, since a session must not wait for a network.
fn user_name(uid: u32) -> Option<String> {
    let passwd = std::fs::read_to_string("/etc/passwd").ok()?;
    passwd.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1)?.parse() == Ok(uid)).then(|| name.to_owned())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn root_has_a_name_and_a_stranger_a_number() {
        assert_eq!(Caller::local(0).name, "uid 0 (root)");
        assert_eq!(Caller::local(4_000_000_123).name, "uid 4000000123");
    }
}
