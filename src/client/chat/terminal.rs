//! The terminal, borrowed: raw and on the other screen while we have it, and given back as it was, also on a panic.

use std::io::{self, stdout};

use ratatui::{
    DefaultTerminal,
    crossterm::{
        event::{DisableBracketedPaste, DisableFocusChange, EnableBracketedPaste, EnableFocusChange},
        execute,
    },
};

/// Gives the terminal back when dropped.
#[derive(Debug)]
pub(super) struct Borrowed {
    pub(super) terminal: DefaultTerminal,
}

impl Borrowed {
    /// Takes the terminal.
    ///
    /// # Errors
    /// When there is none, as in a pipe.
    pub(super) fn take() -> io::Result<Self> {
        // Installs a panic hook that gives it back before the panic is printed.
        let terminal = ratatui::try_init()?;
        let borrowed = Self { terminal };
        execute!(stdout(), EnableBracketedPaste, EnableFocusChange)?;
        Ok(borrowed)
    }
}

impl Drop for Borrowed {
    fn drop(&mut self) {
        // Nothing is left to be done about a terminal that is gone.
        let _ = execute!(stdout(), DisableFocusChange, DisableBracketedPaste);
        // On a panic the hook has restored the rest, and once more would write over the message.
        if !std::thread::panicking() {
            ratatui::restore();
        }
    }
}
