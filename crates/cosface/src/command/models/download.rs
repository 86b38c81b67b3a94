//! One file over HTTP: continued where it was cut, and kept only when it is what the manifest says.

use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use sha2::{Digest, Sha256};
use ureq::http::{Response, StatusCode};
use ureq::{Agent, Body};

use super::manifest::RemoteFile;
use super::tls;
use crate::command::terminal::{self, Stage};

/// Attempts in a row that bring no new byte, after which a download fails.
const IDLE_ATTEMPTS: u32 = 3;

/// Attempts at one file in all, so that a server that sends a byte at a time comes to an end.
const ATTEMPTS: u32 = 200;

/// Time to wait after the first attempt that brought nothing; twice as long after each further one.
const PAUSE: Duration = Duration::from_millis(500);

/// The client: it waits at most half a minute for a connection, an answer or the next bytes.
pub(super) fn client() -> Agent {
    let patience = Some(Duration::from_secs(30));
    let mut config = Agent::config_builder()
        .timeout_connect(patience)
        .timeout_recv_response(patience)
        .timeout_per_read(patience)
        .http_status_as_error(false)
        .user_agent(concat!("cosface/", env!("CARGO_PKG_VERSION")));
    if let Some(tls) = tls::config() {
        config = config.tls_config(tls);
    }
    config.build().into()
}

/// Downloads a file to `path`, which does not exist; what is there of it aside, in `.NAME.partial`, is continued.
///
/// # Errors
/// A server that refuses, sends other bytes, or whose connection is cut again and again; an error of the file system.
pub(super) fn fetch(agent: &Agent, file: &RemoteFile, path: &Path) -> anyhow::Result<()> {
    tls::check(&file.url, path)?;
    let mut partial = Partial::open(path)?;
    let mut stage = Stage::start(&file.name, file.bytes.div_ceil(1024));
    let (mut furthest, mut idle) = (partial.bytes, 0);
    if partial.bytes > 0 {
        let (there, whole) = (partial.bytes, file.bytes);
        terminal::note(&format!("{}: continued after {there} of {whole} bytes", file.name));
    }
    if partial.bytes > file.bytes {
        partial.restart()?;
    }
    for _ in 0..ATTEMPTS {
        if partial.bytes == file.bytes {
            break;
        }
        let Some(cut) = attempt(agent, file, &mut partial, &mut stage)? else { break };
        idle = if partial.bytes > furthest { 0 } else { idle + 1 };
        furthest = furthest.max(partial.bytes);
        let at = format!("{} of {} bytes", partial.bytes, file.bytes);
        ensure!(
            idle < IDLE_ATTEMPTS,
            "the download ends at {at} ({cut}), the same command continues it: {}",
            file.url
        );
        terminal::note(&format!("{}: the connection ended at {at} ({cut}), trying again", file.name));
        if idle > 0 {
            std::thread::sleep(PAUSE * (1 << (idle - 1)));
        }
    }
    ensure!(
        partial.bytes == file.bytes,
        "the connection was cut {ATTEMPTS} times, the same command continues the download: {}",
        file.url
    );
    stage.finish();
    partial.keep(file, path)
}

/// One request for the bytes that are missing; `None` where they came, else why they ended.
fn attempt(
    agent: &Agent,
    file: &RemoteFile,
    partial: &mut Partial,
    stage: &mut Stage,
) -> anyhow::Result<Option<String>> {
    let mut request = agent.get(&file.url).header("Accept-Encoding", "identity");
    if partial.bytes > 0 {
        request = request.header("Range", format!("bytes={}-", partial.bytes));
    }
    let response = match request.call() {
        Ok(response) => response,
        Err(error) if is_passing(&error) => return Ok(Some(error.to_string())),
        Err(error) => {
            return Err(error).with_context(|| format!("the server cannot be asked: {}", file.url));
        }
    };
    match response.status() {
        StatusCode::OK => {
            // The whole file, be it that the server knows no ranges.
            partial.restart()?;
            if let Some(bytes) = response.body().content_length() {
                ensure!(
                    bytes == file.bytes,
                    "the server offers {bytes} bytes where the manifest says {}: {}",
                    file.bytes,
                    file.url
                );
            }
        }
        StatusCode::PARTIAL_CONTENT if starts_at(&response, partial.bytes) => {}
        StatusCode::PARTIAL_CONTENT | StatusCode::RANGE_NOT_SATISFIABLE => {
            partial.restart()?;
            return Ok(Some("the server answers with another part of the file".to_owned()));
        }
        status if status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS => {
            return Ok(Some(format!("the server says {status}")));
        }
        status => bail!("the server says {status}: {}", file.url),
    }
    receive(response.into_body(), file, partial, stage)
}

fn receive(
    body: Body,
    file: &RemoteFile,
    partial: &mut Partial,
    stage: &mut Stage,
) -> anyhow::Result<Option<String>> {
    let (mut reader, mut buffer) = (body.into_reader(), vec![0; 1 << 16]);
    loop {
        let read = match reader.read(&mut buffer) {
            Ok(0) if partial.bytes == file.bytes => return Ok(None),
            Ok(0) => return Ok(Some("the connection was closed".to_owned())),
            Ok(read) => read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Ok(Some(error.to_string())),
        };
        if partial.bytes + read as u64 > file.bytes {
            partial.discard()?;
            bail!("the server sends more than the {} bytes of the manifest: {}", file.bytes, file.url);
        }
        partial.append(&buffer[..read])?;
        stage.show(partial.bytes / 1024, "KiB");
    }
}

/// Whether another attempt may succeed.
fn is_passing(error: &ureq::Error) -> bool {
    use ureq::Error::{BodyStalled, ConnectionFailed, HostNotFound, Io, Protocol, Timeout};
    match error {
        // So does a certificate that cannot be trusted come, which stays as it is.
        Io(error) => error.kind() != io::ErrorKind::InvalidData,
        error => matches!(error, Timeout(_) | ConnectionFailed | HostNotFound | Protocol(_) | BodyStalled),
    }
}

/// Whether a part begins where it was asked to: `Content-Range: bytes 100-199/200`.
fn starts_at(response: &Response<Body>, place: u64) -> bool {
    let range = response.headers().get("content-range").and_then(|range| range.to_str().ok());
    let start = range.and_then(|range| range.strip_prefix("bytes ")?.split('-').next()?.parse().ok());
    start == Some(place)
}

/// The part of a file that is there, with its hash.
struct Partial {
    path: PathBuf,
    file: fs_err::File,
    bytes: u64,
    hash: Sha256,
}

impl Partial {
    fn open(path: &Path) -> anyhow::Result<Partial> {
        let name = path.file_name().context("a download without a name")?.to_string_lossy();
        let aside = path.with_file_name(format!(".{name}.partial"));
        let mut options = fs_err::OpenOptions::new();
        let mut file = options.read(true).write(true).create(true).truncate(false).open(&aside)?;
        let (mut hash, mut buffer, mut bytes) = (Sha256::new(), vec![0; 1 << 16], 0);
        loop {
            let read = file.read(&mut buffer)?;
            if read == 0 {
                break;
            }
            hash.update(&buffer[..read]);
            bytes += read as u64;
        }
        Ok(Partial { path: aside, file, bytes, hash })
    }

    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.file.write_all(bytes)?;
        self.hash.update(bytes);
        self.bytes += bytes.len() as u64;
        Ok(())
    }

    /// Forgets what is there.
    fn restart(&mut self) -> io::Result<()> {
        self.file.set_len(0)?;
        self.file.seek(SeekFrom::Start(0))?;
        self.hash = Sha256::new();
        self.bytes = 0;
        Ok(())
    }

    fn discard(&self) -> io::Result<()> {
        fs_err::remove_file(&self.path)
    }

    /// Renames the whole file to its place, if its bytes are those of the manifest; else removes them.
    fn keep(self, file: &RemoteFile, path: &Path) -> anyhow::Result<()> {
        let found = hexadecimal(&self.hash.clone().finalize());
        if found != file.sha256 {
            self.discard()?;
            bail!(
                "the server sent other bytes than the manifest says, nothing is kept; SHA-256 {found}, not {}: {}",
                file.sha256,
                file.url
            );
        }
        self.file.sync_all()?;
        Ok(fs_err::rename(&self.path, path)?)
    }
}

/// Whether a file that is there is the one of the manifest.
pub(super) fn is_file(path: &Path, file: &RemoteFile) -> anyhow::Result<bool> {
    let mut content = fs_err::File::open(path)?;
    if content.metadata()?.len() != file.bytes {
        return Ok(false);
    }
    let (mut hash, mut buffer) = (Sha256::new(), vec![0; 1 << 16]);
    loop {
        let read = content.read(&mut buffer)?;
        if read == 0 {
            return Ok(hexadecimal(&hash.finalize()) == file.sha256);
        }
        hash.update(&buffer[..read]);
    }
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
