//! Running as a service: what surrounds the rooms that do the work.
//!
//! [`daemon`] starts them in order and stops them in order; [`accounts`] sets providers up as the configuration says;
//! [`logging`] and [`signals`] are the operating system's side. [`receive_mail`] and [`doctor`] are processes of their own.

pub mod accounts;
pub mod alarm;
pub mod daemon;
pub mod doctor;
pub mod logging;
pub mod receive_mail;
pub mod signals;
