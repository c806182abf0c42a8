//! Counts what the current thread has allocated, so that a test can hold code to a bound.
//!
//! The fuzz targets include this file too.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

/// The system's allocator, counting.
struct Counting;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// What was allocated while something ran.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Allocations {
    /// The largest single allocation, in bytes.
    pub largest: usize,
    /// The most that was allocated at one time, in bytes.
    pub peak: usize,
}

thread_local! {
    static LIVE: Cell<isize> = const { Cell::new(0) };
    static PEAK: Cell<isize> = const { Cell::new(0) };
    static LARGEST: Cell<usize> = const { Cell::new(0) };
}

/// Runs `work` and tells what this thread allocated for it.
pub fn count<T>(work: impl FnOnce() -> T) -> (T, Allocations) {
    let before = LIVE.get();
    PEAK.set(before);
    LARGEST.set(0);
    let result = work();
    let peak = PEAK.get().saturating_sub(before).unsigned_abs();
    let largest = LARGEST.get();
    (result, Allocations { largest, peak })
}

fn note(size: usize, change: isize) {
    let live = LIVE.get().wrapping_add(change);
    LIVE.set(live);
    PEAK.set(PEAK.get().max(live));
    LARGEST.set(LARGEST.get().max(size));
}

// SAFETY: every call goes to the system's allocator as it is; the counters allocate nothing and
// have no destructors, so they can be used at any time of a thread's life.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        note(layout.size(), layout.size() as isize);
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        note(layout.size(), layout.size() as isize);
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        note(0, -(layout.size() as isize));
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // Both may be there at the same time.
        note(size, size as isize);
        note(0, -(layout.size() as isize));
        unsafe { System.realloc(pointer, layout, size) }
    }
}
