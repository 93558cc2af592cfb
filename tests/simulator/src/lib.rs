//! Message providers, spoken faithfully, with faults on demand and an exact record of what they accepted.
//!
//! [`Simulator::start`] opens Resend, Twilio, a submission server, SendGrid, Slack and WhatsApp on free ports of 127.0.0.1, and
//! a control endpoint. Each validates as the real one does and answers in its shapes; [`Simulator::fault`] makes one fail in a chosen way; the
//! [`Record`] says afterwards who was reached, how often, and by whom, whatever the client believes.
//!
//! ```no_run
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! use usher_sim::{Config, Fault, FaultKind, Provider, Simulator, When};
//!
//! let simulator = Simulator::start(Config::default()).await?;
//! let lost = Fault::from(FaultKind::Reset { when: When::AfterAccept }).percent(10.0, 7);
//! simulator.fault(Provider::Twilio, lost).await?;
//! // … send to simulator.twilio_url() …
//! simulator.record().wait_for_count(1_000).await;
//! assert!(simulator.record().duplicates().is_empty());
//! simulator.stop().await;
//! # Ok(())
//! # }
//! ```
//!
//! # Credentials unless configured
//!
//! | provider | accepted | refused |
//! |---|---|---|
//! | Resend | `re_simulator`; `re_sending` may only send | `re_suspended`, all others |
//! | Twilio | `AC00000000000000000000000000000001` with `simulator`, or its key `SK00000000000000000000000000000001` | all others |
//! | SMTP | `usher` with `simulator` | all others |
//! | SendGrid | `SG.simulator`; `SG.reading` may not send | `SG.exhausted` (no credits), all others |
//! | Slack | `xoxb-simulator`; `xoxb-unscoped` may not write; webhook `/services/T00000001/B00000001/simulator` | `xoxb-revoked`, all others |
//! | WhatsApp | `EAAsimulator`, for phone number id `100000000000001` | `EAAexpired`, `EAAunpermitted`, all others |
//!
//! # Where it differs from the real ones
//!
//! - All providers but SMTP speak plain HTTP; a [`Relay`] puts HTTPS before one. Nothing is delivered and no webhook is sent: the last event of an e-mail and the
//!   status of an SMS do not move on. No limit holds unless it is configured; then it counts in whole seconds.
//! - **Resend**: `ratelimit-*` headers appear only when a limit is set. Only ASCII addresses pass. A content type other than
//!   JSON is answered 400 `validation_error` (the vendor documents nothing). Only a request that was accepted fulfils its
//!   idempotency key; one that was refused frees it. The vendor's specification has no error bodies and no bound on a batch;
//!   the documentation's are used. `scheduled_at` takes ISO 8601 only. Text and sender of an e-mail from a batch are not shown.
//! - **Twilio**: throttling counts requests a second rather than concurrent ones. 20001 answers any parameter of the wrong
//!   type. Text, sender and service of a message are shown while its body is kept ([`Config::keep_bodies`]), else null. A look-up
//!   shows every accepted message as `sent`, on the day it was accepted. Page tokens are not used.
//! - **SMTP**: strict. No DSN extension. Lines over 1,000 octets, bare CR or LF, and 8-bit bodies that were not announced are
//!   refused after the final dot; many servers let them pass.
//! - **SendGrid**: the texts of errors that the vendor publishes are its own; those of sizes and counts are made up. Only ASCII
//!   addresses pass. Every well-formed template exists. Bodies may not be compressed, and a missing `Accept` is let pass.
//!   `custom_args` of the message are read as an object, as the API and the vendor's client have them; the specification says
//!   text. The limit covers both endpoints together. `X-RateLimit-*` headers appear only when it is set.
//! - **Slack**: one workspace, and of its methods `chat.postMessage` and `auth.test`. A channel's name and a person's id become
//!   an id that never changes. Of blocks only kind, number and the text's length are looked at. A `ts` is the second of
//!   acceptance with a counter. Threads, `client_msg_id` and the limit of the whole workspace are not kept. The statuses of
//!   webhook errors about teams and services, and `invalid_payload` for other methods than POST, are assumed.
//! - **WhatsApp**: text and templates only; other kinds are answered 131051. A window is open or not, as configured: nobody can
//!   write, and none closes. Every version of the Graph API is the same. HTTP statuses are those of an older copy of Meta's
//!   table. 131056 (too many to one person) comes by a fault or a marked recipient, not by counting. Buttons are read, not
//!   counted. Permissions are those of the token as a whole.

mod address;
mod config;
mod control;
mod dice;
mod fault;
mod form;
mod http;
mod latency;
mod pace;
mod provider;
mod record;
mod relay;
mod resend;
mod script;
mod sendgrid;
mod server;
mod simulator;
mod slack;
mod smtp;
mod tally;
mod tls;
mod twilio;
mod whatsapp;
mod wire;

pub use config::{
    ApiKey, Config, Marker, PhoneNumber, ResendConfig, SendGridConfig, SlackConfig, SmtpConfig, SmtpUser, Template,
    TemplateStatus, TwilioAccount, TwilioConfig, Webhook, WhatsAppConfig,
};
pub use fault::{Dot, Fault, FaultError, FaultId, FaultKind, InForce, Scope, Stage, When};
pub use latency::{LONGEST, Latency};
pub use provider::Provider;
pub use record::{Accepted, Duplicate, Record};
pub use relay::Relay;
pub use script::{ScriptError, Span, Step};
pub use simulator::{Addresses, Simulator, StartError};
pub use tally::Counts;
pub use tls::{NAME, TlsError};
