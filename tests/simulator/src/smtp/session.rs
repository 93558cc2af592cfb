//! The dialogue of one connection, as a state machine: a command in, what to do out.
//! Promises: pure; nothing is accepted here, only let through to DATA; after STARTTLS nothing is remembered.

use super::command::{argument, path, verb};
use crate::address::is_address;
use crate::config::{SmtpConfig, marked};
use crate::fault::{FaultKind, Stage, Strike};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;

/// A reply of one or several lines.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Reply {
    pub(crate) code: u16,
    lines: Vec<String>,
}

impl Reply {
    /// A reply of one line; `enhanced` may be empty.
    pub(crate) fn new(code: u16, enhanced: &str, text: &str) -> Self {
        let line = if enhanced.is_empty() { text.to_owned() } else { format!("{enhanced} {text}") };
        Self { code, lines: vec![line] }
    }

    /// A reply as a fault spells it: code, space, text.
    pub(super) fn fault(text: &str) -> Self {
        let (code, words) = text.split_once(' ').unwrap_or((text, ""));
        Self::new(code.parse().unwrap_or(451), "", words)
    }

    pub(super) fn bad_credentials() -> Self {
        Self::new(535, "5.7.8", "Authentication credentials invalid")
    }

    pub(super) fn write(&self, output: &mut Vec<u8>) {
        for (index, line) in self.lines.iter().enumerate() {
            let more = if index + 1 < self.lines.len() { '-' } else { ' ' };
            output.extend_from_slice(format!("{}{more}{line}\r\n", self.code).as_bytes());
        }
    }
}

/// What to do after a command.
#[derive(Debug)]
pub(super) enum Next {
    /// Reply, then go on; after 221 and 421 close.
    Say(Reply),
    /// Reply, then shake hands.
    StartTls(Reply),
    /// Reply, then read a message.
    Data(Reply),
    /// Nothing, ever.
    Silence,
}

/// The transaction so far.
#[derive(Debug, Default)]
pub(super) struct Envelope {
    pub(super) recipients: Vec<String>,
    pub(super) eight_bit: bool,
    pub(super) utf8: bool,
    pub(super) open: bool,
}

/// Where a log-in stands that takes several lines.
#[derive(Debug)]
enum Login {
    Plain,
    User,
    Password(String),
}

/// One connection's memory.
#[derive(Debug)]
pub(super) struct Session<'a> {
    config: &'a SmtpConfig,
    secure: bool,
    greeted: bool,
    authenticated: bool,
    login: Option<Login>,
    envelope: Envelope,
    strike: Strike,
    refuse_auth: Option<Reply>,
    nth: u64,
}

impl<'a> Session<'a> {
    pub(super) fn new(config: &'a SmtpConfig) -> Self {
        Self {
            config,
            secure: false,
            greeted: false,
            authenticated: false,
            login: None,
            envelope: Envelope::default(),
            strike: Strike::default(),
            refuse_auth: None,
            nth: 0,
        }
    }

    pub(super) fn greeting(&self) -> Reply {
        Reply::new(220, "", &format!("{} ESMTP", self.config.hostname))
    }

    /// The connection is under TLS now; what was said before does not count (RFC 3207, 4.2).
    pub(super) fn secured(&mut self) {
        *self = Self { secure: true, ..Self::new(self.config) };
    }

    /// Whether MAIL would begin a transaction, so that it counts as one.
    pub(super) fn may_mail(&self) -> bool {
        self.greeted && self.login.is_none() && !self.envelope.open && (self.authenticated || !self.config.require_auth)
    }

    pub(super) fn envelope(&self) -> &Envelope {
        &self.envelope
    }

    pub(super) fn set_strike(&mut self, strike: Strike) {
        self.strike = strike;
    }

    pub(super) fn take_strike(&mut self) -> Strike {
        std::mem::take(&mut self.strike)
    }

    pub(super) fn set_nth(&mut self, nth: u64) {
        self.nth = nth;
    }

    /// Which transaction of all this is.
    pub(super) fn nth(&self) -> u64 {
        self.nth
    }

    /// The log-in that begins now will fail like this.
    pub(super) fn refuse_next_auth(&mut self, reply: Reply) {
        self.refuse_auth = Some(reply);
    }

    pub(super) fn end_transaction(&mut self) {
        self.envelope = Envelope::default();
        self.strike = Strike::default();
    }

    /// Answers one line.
    pub(super) fn command(&mut self, line: &str) -> Next {
        if let Some(login) = self.login.take() {
            return Next::Say(self.login_line(login, line));
        }
        let argument = argument(line);
        match verb(line).to_ascii_uppercase().as_str() {
            "EHLO" => Next::Say(self.ehlo(argument)),
            "HELO" if argument.is_empty() => Next::Say(Reply::new(501, "5.5.4", "HELO needs a name")),
            "HELO" => {
                self.greeted = true;
                self.end_transaction();
                Next::Say(Reply::new(250, "", &self.config.hostname))
            }
            "STARTTLS" if self.secure => Next::Say(Reply::new(503, "5.5.1", "TLS is already active")),
            "STARTTLS" if !argument.is_empty() => Next::Say(Reply::new(501, "5.5.4", "STARTTLS takes no parameters")),
            "STARTTLS" => Next::StartTls(Reply::new(220, "2.0.0", "Ready to start TLS")),
            "AUTH" => Next::Say(self.auth(argument)),
            "MAIL" => Next::Say(self.mail(argument)),
            "RCPT" => Next::Say(self.rcpt(argument)),
            "DATA" => self.data(argument),
            "RSET" => {
                self.end_transaction();
                Next::Say(Reply::new(250, "2.0.0", "Ok"))
            }
            "NOOP" => Next::Say(Reply::new(250, "2.0.0", "Ok")),
            "VRFY" => Next::Say(Reply::new(252, "2.5.0", "Send some mail, I will try my best")),
            "QUIT" => Next::Say(Reply::new(221, "2.0.0", "Bye")),
            _ => Next::Say(Reply::new(500, "5.5.2", "Command not recognised")),
        }
    }

    fn ehlo(&mut self, name: &str) -> Reply {
        if name.is_empty() {
            return Reply::new(501, "5.5.4", "EHLO needs a name");
        }
        self.greeted = true;
        self.end_transaction();
        let mut lines =
            vec![self.config.hostname.clone(), "PIPELINING".into(), format!("SIZE {}", self.config.max_size)];
        if !self.secure {
            lines.push("STARTTLS".into());
        }
        lines.extend(["ENHANCEDSTATUSCODES", "8BITMIME", "SMTPUTF8"].map(str::to_owned));
        if self.secure || !self.config.require_tls {
            lines.push("AUTH PLAIN LOGIN".into());
        }
        Reply { code: 250, lines }
    }

    fn auth(&mut self, argument: &str) -> Reply {
        let (mechanism, initial) = argument.split_once(' ').unwrap_or((argument, ""));
        if !self.greeted {
            return Reply::new(503, "5.5.1", "Send EHLO first");
        }
        if self.authenticated {
            return Reply::new(503, "5.5.1", "Already authenticated");
        }
        if self.envelope.open {
            return Reply::new(503, "5.5.1", "AUTH is not permitted during a mail transaction");
        }
        if self.config.require_tls && !self.secure {
            return Reply::new(530, "5.7.0", "Must issue a STARTTLS command first");
        }
        match (mechanism.to_ascii_uppercase().as_str(), initial) {
            ("PLAIN", "") => {
                self.login = Some(Login::Plain);
                Reply::new(334, "", "")
            }
            ("PLAIN", given) => self.login_line(Login::Plain, given),
            ("LOGIN", "") => {
                self.login = Some(Login::User);
                Reply::new(334, "", "VXNlcm5hbWU6")
            }
            ("LOGIN", given) => self.login_line(Login::User, given),
            _ => Reply::new(504, "5.5.4", "Unrecognised authentication type"),
        }
    }

    fn login_line(&mut self, login: Login, line: &str) -> Reply {
        if line == "*" {
            return Reply::new(501, "5.7.0", "Authentication aborted");
        }
        let Some(text) = STANDARD.decode(line).ok().and_then(|raw| String::from_utf8(raw).ok()) else {
            return Reply::new(501, "5.5.2", "Invalid base64 data");
        };
        match login {
            Login::Plain => match text.split('\0').collect::<Vec<_>>()[..] {
                [_, name, password] => self.log_in(name, password),
                _ => Reply::new(501, "5.5.2", "Malformed PLAIN response"),
            },
            Login::User => {
                self.login = Some(Login::Password(text));
                Reply::new(334, "", "UGFzc3dvcmQ6")
            }
            Login::Password(name) => self.log_in(&name, &text),
        }
    }

    fn log_in(&mut self, name: &str, password: &str) -> Reply {
        if let Some(refusal) = self.refuse_auth.take() {
            return refusal;
        }
        if !self.config.users.iter().any(|user| user.name == name && user.password == password) {
            return Reply::bad_credentials();
        }
        self.authenticated = true;
        Reply::new(235, "2.7.0", "Authentication successful")
    }

    fn mail(&mut self, argument: &str) -> Reply {
        if !self.greeted {
            return Reply::new(503, "5.5.1", "Send EHLO first");
        }
        if self.config.require_auth && !self.authenticated {
            return Reply::new(530, "5.7.0", "Authentication required");
        }
        if self.envelope.open {
            return Reply::new(503, "5.5.1", "Nested MAIL command");
        }
        let Some(path) = path(argument, "FROM:") else {
            return Reply::new(501, "5.5.4", "Syntax: MAIL FROM:<address>");
        };
        let mut envelope = Envelope { open: true, ..Envelope::default() };
        for (name, value) in path.parameters {
            match (name.to_ascii_uppercase().as_str(), value.to_ascii_uppercase().as_str()) {
                ("SIZE", size) => match size.parse::<usize>() {
                    Ok(size) if size <= self.config.max_size => {}
                    Ok(_) => return Reply::new(552, "5.3.4", "Message size exceeds fixed maximum message size"),
                    Err(_) => return Reply::new(501, "5.5.4", "Bad SIZE"),
                },
                ("BODY", "8BITMIME") => envelope.eight_bit = true,
                ("SMTPUTF8", "") => envelope.utf8 = true,
                // AUTH: the identity that RFC 4954 lets a client pass on; nothing depends on it here.
                ("BODY", "7BIT") | ("AUTH", _) => {}
                _ => return Reply::new(555, "5.5.4", "Unsupported parameter"),
            }
        }
        // The empty path is for bounces.
        if !path.address.is_empty() && !is_address(path.address, envelope.utf8) {
            return Reply::new(553, "5.1.7", "Sender address refused");
        }
        self.envelope = envelope;
        Reply::new(250, "2.1.0", "Ok")
    }

    fn rcpt(&mut self, argument: &str) -> Reply {
        if !self.envelope.open {
            return Reply::new(503, "5.5.1", "Need MAIL before RCPT");
        }
        let Some(path) = path(argument, "TO:") else { return Reply::new(501, "5.5.4", "Syntax: RCPT TO:<address>") };
        if let Some(reply) = self.struck_at(Stage::Rcpt) {
            return reply;
        }
        if !path.parameters.is_empty() {
            return Reply::new(555, "5.5.4", "Unsupported parameter");
        }
        if !path.address.is_ascii() && !self.envelope.utf8 {
            return Reply::new(553, "5.6.7", "Non-ASCII address without SMTPUTF8");
        }
        if !is_address(path.address, self.envelope.utf8) {
            return Reply::new(553, "5.1.3", "Bad recipient address syntax");
        }
        if self.envelope.recipients.len() >= self.config.max_recipients {
            return Reply::new(452, "4.5.3", "Too many recipients");
        }
        if let Some(answer) = marked(&self.config.recipients, path.address) {
            return Reply::fault(answer);
        }
        self.envelope.recipients.push(path.address.to_owned());
        Reply::new(250, "2.1.5", "Ok")
    }

    fn data(&mut self, argument: &str) -> Next {
        if !argument.is_empty() {
            return Next::Say(Reply::new(501, "5.5.4", "DATA takes no parameters"));
        }
        if !self.envelope.open {
            return Next::Say(Reply::new(503, "5.5.1", "Need MAIL before DATA"));
        }
        if self.envelope.recipients.is_empty() {
            return Next::Say(Reply::new(554, "5.5.1", "No valid recipients"));
        }
        match self.struck_at(Stage::Data) {
            Some(reply) => Next::Say(reply),
            None => Next::Data(Reply::new(354, "", "End data with <CR><LF>.<CR><LF>")),
        }
    }

    fn struck_at(&self, at: Stage) -> Option<Reply> {
        match &self.strike.kind {
            Some(FaultKind::Reply { stage, text }) if *stage == at => Some(Reply::fault(text)),
            _ => None,
        }
    }
}
