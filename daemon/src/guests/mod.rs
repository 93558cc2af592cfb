//! Guest lists: CSV in and out, addresses, segments, edits.
//!
//! Everything here is pure: bytes, text and guests go in, guests and problems come out. Storage stands beside it.

mod book;
mod cell;
mod duplicates;
mod edit;
mod email;
mod encoding;
mod export;
mod fold;
mod header;
mod import;
mod import_error;
mod intake;
mod nearest;
mod phone;
mod record;
mod segment;
mod words;

pub use book::{BookError, GuestBook, PAGE, address_on};
pub use cell::Defaults;
pub use edit::{EditError, apply, apply_all};
pub use email::{EmailAddress, EmailError};
pub use export::Exporter;
pub use header::{Field, custom_key};
pub use import::{ImportOptions, Importer, Outcome, Parsed, Summary};
pub use import_error::ImportError;
pub use intake::{Intake, Source};
pub use nearest::nearest;
pub use phone::{PhoneError, PhoneNumber};
pub use segment::{Segment, SegmentError};
pub use words::country as country_code;
