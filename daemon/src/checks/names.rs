//! Asking DNS for TXT records: by the machine's own resolvers, or by one server that tests and split networks name.

use std::net::SocketAddr;
use std::time::Duration;

use hickory_resolver::TokioResolver;
use hickory_resolver::config::{NameServerConfigGroup, ResolverConfig};
use hickory_resolver::name_server::TokioConnectionProvider;

/// One question, and its repetition where nobody answers.
const PATIENCE: Duration = Duration::from_secs(3);
const ATTEMPTS: usize = 2;

/// Whoever answers questions about names.
pub struct Names(Result<TokioResolver, String>);

impl Names {
    /// The machine's resolvers, or the one at `server`. What is wrong with them is told by every question.
    pub fn new(server: Option<SocketAddr>) -> Self {
        let builder = match server {
            Some(server) => {
                let group = NameServerConfigGroup::from_ips_clear(&[server.ip()], server.port(), true);
                let config = ResolverConfig::from_parts(None, Vec::new(), group);
                Ok(TokioResolver::builder_with_config(config, TokioConnectionProvider::default()))
            }
            None => TokioResolver::builder_tokio().map_err(|error| format!("/etc/resolv.conf cannot be used: {error}")),
        };
        Self(builder.map(|mut builder| {
            let options = builder.options_mut();
            options.timeout = PATIENCE;
            options.attempts = ATTEMPTS;
            // A record that was just published should be seen.
            options.cache_size = 0;
            builder.build()
        }))
    }

    /// The TXT records of a name, each in one piece; none where there is no such name. The error says why nobody knows.
    pub async fn txt(&self, name: &str) -> Result<Vec<String>, String> {
        let resolver = self.0.as_ref().map_err(Clone::clone)?;
        // The dot keeps the resolver from trying the machine's own domain behind it.
        match resolver.txt_lookup(format!("{name}.")).await {
            Ok(found) => {
                let whole = |data: &hickory_resolver::proto::rr::rdata::TXT| {
                    data.txt_data().iter().map(|piece| String::from_utf8_lossy(piece)).collect::<String>()
                };
                Ok(found.iter().map(whole).collect())
            }
            Err(error) if error.is_no_records_found() || error.is_nx_domain() => Ok(Vec::new()),
            Err(error) => Err(error.to_string()),
        }
    }
}
