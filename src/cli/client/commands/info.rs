use super::{Outcome, role_name};
use crate::cli::client::session::Session;
use crate::cli::exit::Verdict;
use crate::cli::json::{
    Body, DamagedBody, InfoLine, LeftOutBody, LimitsBody, TrashBody, UnhashedBody,
};
use crate::cli::units;
use crate::protocol::message::ServerInfo;
use crate::types::Printable;

/// `info`
pub async fn run(session: &mut Session) -> Outcome {
    let info = session.client.info().await?;
    let server = session.client.address().to_string();
    session.output.object(Body::Info(line(&info, &server)));
    session.output.line(describe(&info, &server));
    Ok(Verdict::Done)
}

fn line<'a>(info: &'a ServerInfo, server: &'a str) -> InfoLine<'a> {
    InfoLine {
        server,
        software: &info.software,
        protocol: info.protocol,
        host: &info.host,
        identity: info.identity.as_deref(),
        uptime: info.uptime,
        user: info.user.as_deref(),
        role: role(info),
        files: info.files,
        bytes: info.bytes,
        free: info.free,
        limits: LimitsBody {
            max_file_size: info.max_file_size,
            quota: info.quota,
            max_connections: info.max_connections,
            idle_timeout: info.idle_timeout,
        },
        names: if info.portable_names {
            "portable"
        } else {
            "native"
        },
        durability: if info.durable { "fsync" } else { "none" },
        confined: info.confined,
        capabilities: &info.capabilities,
        unhashed: UnhashedBody {
            files: info.unhashed_files,
            bytes: info.unhashed_bytes,
        },
        left_out: LeftOutBody {
            links: info.left_out_links,
            special: info.left_out_special,
            mounts: info.left_out_mounts,
            names: info.left_out_names,
            twins: info.left_out_twins,
            unreadable: info.left_out_unreadable,
        },
        trash: TrashBody {
            files: info.trash_files,
            bytes: info.trash_bytes,
            keep_removed: info.keep_removed,
            keep_removed_size: info.keep_removed_size,
        },
        damaged: DamagedBody {
            files: info.damaged_files,
            names: &info.damaged,
        },
    }
}

fn describe(info: &ServerInfo, server: &str) -> String {
    let limit = |size: Option<u64>| size.map_or("none".to_owned(), units::size);
    let list = |words: Vec<String>, none: &str| match words.is_empty() {
        true => none.to_owned(),
        false => words.join(", "),
    };
    let left_out = [
        (info.left_out_links, "symbolic link", "symbolic links"),
        (
            info.left_out_special,
            "FIFO, socket or device",
            "FIFOs, sockets or devices",
        ),
        (
            info.left_out_mounts,
            "folder on another file system",
            "folders on other file systems",
        ),
        (
            info.left_out_names,
            "name that no client can name",
            "names that no client can name",
        ),
        (
            info.left_out_twins,
            "name that differs from another one only in case or Unicode form",
            "names that differ only in case or Unicode form",
        ),
        (
            info.left_out_unreadable,
            "file or folder that the server may not read",
            "files or folders that the server may not read",
        ),
    ];
    let left_out = left_out
        .iter()
        .filter(|(number, ..)| *number > 0)
        .map(|(number, one, many)| format!("{number} {}", if *number == 1 { one } else { many }))
        .collect();
    let capabilities = info
        .capabilities
        .iter()
        .map(|word| Printable(word).to_string())
        .collect();
    let hashing = match info.unhashed_files {
        0 => "done".to_owned(),
        files => format!(
            "{} ({}) still to do",
            units::count(files, "file"),
            units::size(info.unhashed_bytes)
        ),
    };
    let mut text = String::new();
    for (key, value) in [
        ("server", server.to_owned()),
        ("software", Printable(&info.software).to_string()),
        ("protocol", info.protocol.to_string()),
        ("host", Printable(&info.host).to_string()),
        (
            "identity",
            info.identity.as_deref().map_or_else(
                || "none (plaintext)".to_owned(),
                |identity| Printable(identity).to_string(),
            ),
        ),
        ("running for", units::span(info.uptime)),
        (
            "your user",
            info.user.as_deref().map_or_else(
                || "none (anonymous)".to_owned(),
                |user| Printable(user).to_string(),
            ),
        ),
        ("your role", role(info).to_owned()),
        (
            "shared",
            format!(
                "{}, {}",
                units::count(info.files, "file"),
                units::size(info.bytes)
            ),
        ),
        (
            "free",
            info.free.map_or("not known".to_owned(), units::size),
        ),
        ("largest file", limit(info.max_file_size)),
        ("quota", limit(info.quota)),
        ("connections", format!("at most {}", info.max_connections)),
        ("idle after", units::span(info.idle_timeout)),
        (
            "names",
            match info.portable_names {
                true => "portable",
                false => "native",
            }
            .to_owned(),
        ),
        (
            "durability",
            if info.durable { "fsync" } else { "none" }.to_owned(),
        ),
        (
            "confined",
            match info.confined {
                true => "to its own folders",
                false => "no",
            }
            .to_owned(),
        ),
        ("capabilities", list(capabilities, "none")),
        ("hashing", hashing),
        ("left out", list(left_out, "nothing")),
        ("trash", trash(info)),
        ("damaged", damaged(info)),
    ] {
        text.push_str(&format!("{key:<14}{value}\n"));
    }
    text.truncate(text.trim_end().len());
    text
}

fn role(info: &ServerInfo) -> &'static str {
    role_name(info.role)
}

fn trash(info: &ServerInfo) -> String {
    if info.keep_removed == 0 || info.keep_removed_size == 0 {
        return "off".to_owned();
    }
    format!(
        "{}, {}, kept for {} and up to {}",
        units::count(info.trash_files, "file"),
        units::size(info.trash_bytes),
        units::span(info.keep_removed),
        units::size(info.keep_removed_size),
    )
}

fn damaged(info: &ServerInfo) -> String {
    if info.damaged_files == 0 {
        return "nothing known".to_owned();
    }
    let names: Vec<String> = info
        .damaged
        .iter()
        .map(|name| Printable(name).to_string())
        .collect();
    let more = match info.damaged_files > names.len() as u64 {
        true => ", …",
        false => "",
    };
    let number = units::count(info.damaged_files, "file");
    format!("{number}, to be uploaded again: {}{more}", names.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::json::Line;

    fn sample() -> ServerInfo {
        ServerInfo {
            software: "fileshare-server 0.1.0".to_owned(),
            protocol: 1,
            host: "nas\u{1b}[2J".to_owned(),
            identity: None,
            uptime: 5,
            files: 1,
            bytes: 1536,
            free: Some(1 << 30),
            max_file_size: None,
            quota: Some(1 << 20),
            max_connections: 16_384,
            idle_timeout: 1800,
            portable_names: true,
            durable: true,
            confined: false,
            user: None,
            role: 2,
            capabilities: vec![],
            unhashed_files: 0,
            unhashed_bytes: 0,
            left_out_links: 2,
            left_out_special: 0,
            left_out_mounts: 0,
            left_out_names: 0,
            left_out_twins: 0,
            left_out_unreadable: 0,
            trash_files: 0,
            trash_bytes: 0,
            keep_removed: 0,
            keep_removed_size: 0,
            damaged_files: 0,
            damaged: vec![],
        }
    }

    #[test]
    fn people_read_escaped_lines() {
        let text = describe(&sample(), "nas:2222");
        for part in [
            "host          nas\\u{1b}[2J\n",
            "your user     none (anonymous)\n",
            "your role     contributor\n",
            "confined      no\n",
            "shared        1 file, 1.50 KiB\n",
            "left out      2 symbolic links",
        ] {
            assert!(text.contains(part), "{part}\n{text}");
        }
    }

    #[test]
    fn programs_read_every_field() {
        let json =
            serde_json::to_string(&Line::from(Body::Info(line(&sample(), "nas:2222")))).unwrap();
        assert!(json.starts_with(r#"{"v":1,"type":"info","server":"nas:2222","software":"#));
        assert!(json.contains(r#""user":null,"role":"contributor""#));
        assert!(json.contains(r#""confined":false"#));
        assert!(json.contains(r#""left_out":{"links":2,"#));
    }
}
