//! Panics of the nodes' code: a runtime keeps them in its tasks, but each is a bug.
use std::sync::Mutex;

static LAST: Mutex<Option<String>> = Mutex::new(None);

/// Keeps panics for [`taken`] instead of printing them.
pub fn keep() {
    std::panic::set_hook(Box::new(|panic| {
        let text = format!("{panic}\n{}", std::backtrace::Backtrace::capture());
        if let Ok(mut last) = LAST.lock() {
            last.get_or_insert(text);
        }
    }));
}

/// The first panic since the last call.
pub fn taken() -> Option<String> {
    LAST.lock().ok()?.take()
}
