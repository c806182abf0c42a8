use std::future::Future;
use std::path::Path;
use std::pin::Pin;

use super::shown;
use crate::cli::output::Output;
use crate::cli::terminal::{self, Echo};
use crate::client::{Consent, FirstContact, ServerAddress};
use crate::types::Fingerprint;

/// Whoever runs the program: hears of new servers on standard error, and is asked at the terminal.
pub struct Person(pub Output);

impl FirstContact for Person {
    fn accepts<'a>(
        &'a self,
        server: &'a ServerAddress,
        key: Fingerprint,
    ) -> Pin<Box<dyn Future<Output = Consent> + Send + 'a>> {
        Box::pin(async move {
            let question = format!(
                "{server} is not known yet. Its key is\n  {key}\nIs that what 'fileshare-server identity' prints there? [y/N] "
            );
            match terminal::ask(&self.0, &question, Echo::On).await {
                Ok(Some(answer)) if is_yes(&answer) => Consent::Given,
                Ok(Some(_)) => Consent::Refused,
                Ok(None) => Consent::NobodyToAsk,
                Err(error) => {
                    tracing::info!(%error, "the terminal cannot be read");
                    Consent::NobodyToAsk
                }
            }
        })
    }

    fn met(&self, server: &ServerAddress, key: Fingerprint, file: &Path) {
        self.0.note(format_args!(
            "First contact with {server}: its key is {key}. It is kept in {}; another key will be refused.",
            shown(file)
        ));
    }
}

fn is_yes(answer: &str) -> bool {
    matches!(answer.trim().to_ascii_lowercase().as_str(), "y" | "yes")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_yes_is_yes() {
        for answer in ["y", "Y", " yes ", "YES"] {
            assert!(is_yes(answer), "{answer}");
        }
        for answer in ["", "n", "no", "yeah", "y y", "sha256:"] {
            assert!(!is_yes(answer), "{answer}");
        }
    }
}
