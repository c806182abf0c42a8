use std::collections::HashMap;
use std::io::IsTerminal;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use indicatif::{ProgressBar, ProgressStyle};

use super::output::Output;
use crate::transfer::Progress;

const WHOLE: &str = "{wide_msg} {bytes}/{total_bytes} {bytes_per_sec} {eta}";
const FILE: &str = "{wide_msg} {bar:20} {bytes}/{total_bytes} {bytes_per_sec} {eta}";
const STREAM: &str = "{wide_msg} {bytes} {bytes_per_sec}";

/// Progress bars on standard error: one for the whole when there is more than one file, and one
/// for each running file. Draws nothing where bars cannot be seen; notes are told all the same.
///
/// Whoever shows them holds [`Shown`]; when that is dropped they go away and do not come back, even
/// if a thread that was cancelled still tells of its progress.
pub struct Bars {
    output: Output,
    shown: bool,
    drawn: Mutex<Drawn>,
}

/// A file that is smaller than this, in bytes, gets no bar of its own beside that of the whole: it
/// would be gone before anybody has read it, and drawing it takes longer than sending it.
const SMALL: u64 = 1024 * 1024;

#[derive(Default)]
struct Drawn {
    closed: bool,
    whole: Option<ProgressBar>,
    running: HashMap<u32, Running>,
    files: u64,
    finished: u64,
}

/// A file that has begun.
struct Running {
    bar: Option<ProgressBar>,
    position: u64,
}

impl Bars {
    /// Bars beside what `output` prints.
    pub fn show(output: &Output) -> Shown {
        Shown(Arc::new(Self::new(output)))
    }

    fn new(output: &Output) -> Self {
        Bars {
            shown: output.shows_bars(),
            output: output.clone(),
            drawn: Mutex::default(),
        }
    }

    /// Bars while content is printed: none when it goes to the terminal itself.
    pub fn beside_content(output: &Output) -> Shown {
        let mut bars = Self::new(output);
        bars.shown &= !std::io::stdout().is_terminal();
        Shown(Arc::new(bars))
    }

    fn drawn(&self) -> MutexGuard<'_, Drawn> {
        self.drawn.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Progress for Bars {
    fn batch(&self, files: u64, bytes: u64) {
        if !self.shown || files < 2 {
            return;
        }
        let mut drawn = self.drawn();
        if drawn.closed {
            return;
        }
        drawn.files = files;
        let bar = drawn
            .whole
            .get_or_insert_with(|| {
                let bar = ProgressBar::new(bytes).with_style(style(WHOLE));
                self.output.bars().insert(0, bar)
            })
            .clone();
        bar.set_length(bytes);
        drawn.tell();
    }

    fn begin(&self, index: u32, label: &str, size: Option<u64>, offset: u64) {
        if !self.shown {
            return;
        }
        let mut drawn = self.drawn();
        if drawn.closed {
            return;
        }
        let is_small = drawn.whole.is_some() && size.is_some_and(|size| size < SMALL);
        let bar = (!is_small).then(|| {
            let bar = match size {
                Some(size) => ProgressBar::new(size).with_style(style(FILE)),
                None => ProgressBar::no_length().with_style(style(STREAM)),
            };
            let bar = self.output.bars().add(bar).with_message(label.to_owned());
            bar.set_position(offset);
            // So that a rate is not made of what was there already.
            bar.reset_eta();
            bar
        });
        let position = offset;
        let earlier = drawn.running.insert(index, Running { bar, position });
        if let Some(whole) = &drawn.whole {
            // What was sent before a cut counts as far as it need not be sent again.
            let counted = earlier.as_ref().map_or(0, |earlier| earlier.position);
            whole.set_position((whole.position() + offset).saturating_sub(counted));
        }
        if let Some(bar) = earlier.and_then(|earlier| earlier.bar) {
            bar.finish_and_clear();
        }
    }

    fn advance(&self, index: u32, bytes: u64) {
        if !self.shown {
            return;
        }
        let mut drawn = self.drawn();
        if let Some(whole) = &drawn.whole {
            whole.inc(bytes);
        }
        if let Some(running) = drawn.running.get_mut(&index) {
            running.position += bytes;
            if let Some(bar) = &running.bar {
                bar.inc(bytes);
            }
        }
    }

    fn end(&self, index: u32) {
        if !self.shown {
            return;
        }
        let mut drawn = self.drawn();
        if let Some(running) = drawn.running.remove(&index) {
            if let Some(bar) = running.bar {
                bar.finish_and_clear();
                self.output.bars().remove(&bar);
            }
            drawn.finished += 1;
            drawn.tell();
        }
    }

    fn note(&self, text: &str) {
        self.output.note(text);
    }
}

impl Drawn {
    fn tell(&self) {
        if let Some(whole) = &self.whole {
            whole.set_message(format!("{} of {} files", self.finished, self.files));
        }
    }
}

/// Bars that can be seen until this is dropped.
pub struct Shown(Arc<Bars>);

impl Shown {
    /// What hears of the progress.
    pub fn progress(&self) -> Arc<dyn Progress> {
        self.0.clone()
    }
}

impl Drop for Shown {
    fn drop(&mut self) {
        let mut drawn = self.0.drawn();
        drawn.closed = true;
        let running: Vec<_> = drawn.running.drain().filter_map(|(_, it)| it.bar).collect();
        for bar in running.into_iter().chain(drawn.whole.take()) {
            bar.finish_and_clear();
            self.0.output.bars().remove(&bar);
        }
    }
}

/// A template that does not parse is a fault that the test below finds.
fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::output::Look;
    use crate::cli::output::tests::Captured;

    #[test]
    fn every_template_parses() {
        for template in [WHOLE, FILE, STREAM] {
            assert!(ProgressStyle::with_template(template).is_ok(), "{template}");
        }
    }

    #[test]
    fn without_bars_only_notes_are_told() {
        let captured = Captured::default();
        let shown = Bars::show(&captured.output(Look::default()));
        let bars = shown.progress();
        bars.batch(2, 10);
        bars.begin(0, "a.txt", Some(5), 0);
        bars.advance(0, 5);
        bars.end(0);
        bars.note("trying again (1 of 3)");
        drop(shown);
        assert_eq!(captured.messages(), "trying again (1 of 3)\n");
        assert_eq!(captured.results(), "");
    }
}
