//! What the kernel says about processes: processor time, memory, open files, who listens where.
//!
//! Linux alone; elsewhere every figure is absent and the rows are printed without it.

use std::{collections::HashMap, fs, net::SocketAddr, path::Path};

/// The kernel's accounting unit in `/proc/*/stat`, in seconds.
const TICK_S: f64 = 0.01;
/// Page size of every platform this is used on, in KiB.
const PAGE_KIB: f64 = 4.0;

/// Processor time of processes at one moment.
#[derive(Debug, Default)]
pub(crate) struct Cpu {
    /// Nanoseconds on a processor, by thread.
    threads: HashMap<u32, u64>,
    /// Seconds, at the resolution of ticks, with ended threads.
    ticks_s: f64,
}

impl Cpu {
    /// Reads it for these processes together.
    pub(crate) fn of(pids: &[u32]) -> Self {
        let mut cpu = Self::default();
        for pid in pids {
            cpu.ticks_s += ticks(*pid).unwrap_or(0.0);
            let Ok(tasks) = fs::read_dir(format!("/proc/{pid}/task")) else {
                continue;
            };
            for task in tasks.flatten() {
                let id = task.file_name().to_str().and_then(|s| s.parse().ok());
                let time = fs::read_to_string(task.path().join("schedstat")).ok();
                let time = time.as_deref().and_then(|t| t.split_whitespace().next()?.parse().ok());
                if let (Some(id), Some(time)) = (id, time) {
                    cpu.threads.insert(id, time);
                }
            }
        }
        cpu
    }

    /// Seconds of processor time since `earlier`.
    pub(crate) fn since(&self, earlier: &Self) -> f64 {
        let fine_ns: u64 = self
            .threads
            .iter()
            .map(|(id, time)| time.saturating_sub(earlier.threads.get(id).copied().unwrap_or(0)))
            .sum();
        let fine_s = fine_ns as f64 / 1e9;
        let coarse_s = self.ticks_s - earlier.ticks_s;
        // Threads that ended in between are only in the coarse figure; trust it when it is clearly greater.
        if coarse_s > fine_s * 1.05 + 5.0 * TICK_S { coarse_s } else { fine_s }
    }
}

/// Fields of `/proc/PID/stat` from the third on: the name before may hold spaces.
fn ticks(pid: u32) -> Option<f64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    let ticks: f64 = fields.get(11)?.parse::<f64>().ok()? + fields.get(12)?.parse::<f64>().ok()?;
    Some(ticks * TICK_S)
}

/// Processor seconds of the whole machine since it started: used, and taken by the hypervisor.
pub(crate) fn machine() -> Option<(f64, f64)> {
    let stat = fs::read_to_string("/proc/stat").ok()?;
    let ticks: Vec<f64> = stat.lines().next()?.split_whitespace().skip(1).filter_map(|f| f.parse().ok()).collect();
    let at = |i: usize| ticks.get(i).copied().unwrap_or(0.0);
    // user, nice, system, then idle and iowait, then irq, softirq, steal.
    Some(((at(0) + at(1) + at(2) + at(5) + at(6)) * TICK_S, at(7) * TICK_S))
}

/// Resident memory of these processes together, KiB.
pub(crate) fn rss_kib(pids: &[u32]) -> Option<f64> {
    let mut total = 0.0;
    for pid in pids {
        let statm = fs::read_to_string(format!("/proc/{pid}/statm")).ok()?;
        total += statm.split_whitespace().nth(1)?.parse::<f64>().ok()? * PAGE_KIB;
    }
    (!pids.is_empty()).then_some(total)
}

/// How many files a process may have open; `self` for this one.
pub(crate) fn files_max(pid: &str) -> Option<u64> {
    let limits = fs::read_to_string(format!("/proc/{pid}/limits")).ok()?;
    let line = limits.lines().find(|l| l.starts_with("Max open files"))?;
    match line.split_whitespace().nth(3)? {
        "unlimited" => Some(u64::MAX),
        number => number.parse().ok(),
    }
}

/// The process that listens at an address of this machine, if it may be seen.
pub(crate) fn listener(address: SocketAddr) -> Option<u32> {
    if !address.ip().is_loopback() {
        return None;
    }
    let inodes: Vec<String> = ["/proc/net/tcp", "/proc/net/tcp6"]
        .iter()
        .filter_map(|f| fs::read_to_string(f).ok())
        .flat_map(|t| listening(&t, address.port()))
        .collect();
    fs::read_dir("/proc").ok()?.flatten().find_map(|entry| {
        let pid = entry.file_name().to_str()?.parse().ok()?;
        holds(&entry.path(), &inodes).then_some(pid)
    })
}

/// Inodes of the sockets in a `/proc/net/tcp` table that listen at a port.
fn listening(table: &str, port: u16) -> Vec<String> {
    let suffix = format!(":{port:04X}");
    table
        .lines()
        .skip(1)
        .filter_map(|line| {
            let fields: Vec<&str> = line.split_whitespace().collect();
            let listens = fields.get(1)?.ends_with(&suffix) && *fields.get(3)? == "0A";
            listens.then(|| fields.get(9).map(|inode| format!("socket:[{inode}]")))?
        })
        .collect()
}

fn holds(process: &Path, sockets: &[String]) -> bool {
    let Ok(files) = fs::read_dir(process.join("fd")) else {
        return false;
    };
    files
        .flatten()
        .any(|file| fs::read_link(file.path()).is_ok_and(|link| sockets.iter().any(|s| link.as_os_str() == s.as_str())))
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    #[test]
    fn finds_the_listener() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        assert_eq!(super::listener(listener.local_addr().unwrap()), Some(std::process::id()));
        let address = listener.local_addr().unwrap();
        drop(listener);
        assert_eq!(super::listener(address), None);
    }

    #[test]
    fn sees_its_own_work() {
        let pids = [std::process::id()];
        let (before, all) = (Cpu::of(&pids), machine().unwrap().0);
        let mut x = 0u64;
        while Cpu::of(&pids).since(&before) < 0.05 {
            x = std::hint::black_box(x.wrapping_mul(3).wrapping_add(1));
        }
        assert!(machine().unwrap().0 >= all);
        assert!(rss_kib(&pids).unwrap() > 100.0);
        assert!(files_max("self").unwrap() > 0);
    }
}
