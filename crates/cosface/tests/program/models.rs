//! `cosface models` against a server that behaves as servers do.

use std::collections::VecDeque;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use crate::invocation::{Outcome, command, cosface, shared};

/// What the server does with one request.
#[derive(Clone, Debug)]
enum Answer {
    /// The part that is asked for, whole.
    Serve,
    /// The part that is asked for, of which only so many bytes are sent.
    Cut(usize),
    /// The whole file, whatever part is asked for, of which only so many bytes are sent.
    IgnoreRange(usize),
    /// A part that was not asked for.
    OtherPart,
    /// Other bytes of the same length.
    WrongBytes,
    /// More bytes than there are, without saying how many.
    Endless,
    /// A file of another length.
    Longer,
    Status(&'static str),
    Redirect,
}

/// A server on this machine that gives its answers in turn, and the last one ever after; it ends with the process.
struct Server {
    directory: tempfile::TempDir,
    /// The range of each request.
    asked: Arc<Mutex<Vec<Option<usize>>>>,
}

fn content() -> Vec<u8> {
    (0..300_000_u32).map(|index| (index.wrapping_mul(2_654_435_761) >> 24) as u8).collect()
}

/// SHA-256 of [`content`], as Python's hashlib computes it.
const HASH: &str = "136f334d647619879743ff33fde1ac6547f40e314692441f2a125e087cad47c9";

impl Server {
    fn new(answers: &[Answer]) -> Server {
        Server::with_licence(answers, "free")
    }

    fn with_licence(answers: &[Answer], terms: &str) -> Server {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/weights.bin", listener.local_addr().unwrap());
        let asked = Arc::new(Mutex::new(Vec::new()));
        let (heard, mut answers) = (Arc::clone(&asked), VecDeque::from(answers.to_vec()));
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let answer = if answers.len() > 1 { answers.pop_front() } else { answers.front().cloned() };
                // A program that has seen enough closes the connection, which is no failure of the server.
                let _ = serve(stream.unwrap(), &answer.unwrap(), &heard);
            }
        });
        let directory = tempfile::tempdir().unwrap();
        let manifest = format!(
            "[[model]]\nname = \"test\"\nkind = \"detector\"\nabout = \"a test\"\nrepository = \"here\"\n\
             revision = \"1\"\nusage = \"look into {{folder}}\"\n\
             licence = {{ name = \"L\", terms = \"{terms}\", note = \"of somebody\" }}\n\
             [[model.file]]\nname = \"weights.bin\"\nurl = \"{url}\"\nbytes = 300000\nsha256 = \"{HASH}\"\n"
        );
        fs_err::write(directory.path().join("manifest.toml"), manifest).unwrap();
        Server { directory, asked }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn pull(&self, more: &[&str]) -> Outcome {
        let (manifest, to) = (self.path("manifest.toml"), self.path("models"));
        let paths = ["--manifest", manifest.to_str().unwrap(), "--to", to.to_str().unwrap()];
        let mut command = command(["models", "pull", "test"].iter().chain(&paths).chain(more));
        for variable in ["http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY", "https_proxy", "HTTPS_PROXY"] {
            command.env_remove(variable);
        }
        command.output().unwrap().into()
    }

    fn stored(&self) -> Option<Vec<u8>> {
        fs_err::read(self.path("models/test/weights.bin")).ok()
    }

    fn asked(&self) -> Vec<Option<usize>> {
        self.asked.lock().unwrap().clone()
    }
}

fn serve(mut stream: TcpStream, answer: &Answer, asked: &Mutex<Vec<Option<usize>>>) -> std::io::Result<()> {
    let mut start = None;
    let mut path = String::new();
    for line in BufReader::new(stream.try_clone()?).lines() {
        let line = line?.to_lowercase();
        if let Some(range) = line.strip_prefix("range: bytes=") {
            start = range.strip_suffix('-').and_then(|start| start.parse().ok());
        }
        if line.starts_with("get ") {
            path.clone_from(&line);
        }
        if line.is_empty() {
            break;
        }
    }
    asked.lock().unwrap().push(start);
    let content = content();
    let part = |start: Option<usize>, sent: usize, stream: &mut TcpStream| {
        let from = start.unwrap_or(0);
        let rest = &content[from..];
        let status = start.map_or("200 OK".to_owned(), |from| {
            format!("206 Partial Content\r\nContent-Range: bytes {from}-299999/300000")
        });
        write!(stream, "HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", rest.len())?;
        stream.write_all(&rest[..sent.min(rest.len())])
    };
    match answer {
        Answer::Serve => part(start, usize::MAX, &mut stream),
        Answer::Cut(sent) => part(start, *sent, &mut stream),
        Answer::IgnoreRange(sent) => part(None, *sent, &mut stream),
        Answer::OtherPart => part(start.map(|start| start + 1), usize::MAX, &mut stream),
        Answer::WrongBytes => {
            write!(stream, "HTTP/1.1 200 OK\r\nContent-Length: 300000\r\nConnection: close\r\n\r\n")?;
            stream.write_all(&vec![7; 300_000])
        }
        Answer::Endless => {
            write!(stream, "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n")?;
            stream.write_all(&vec![7; 900_000])
        }
        Answer::Longer => {
            write!(stream, "HTTP/1.1 200 OK\r\nContent-Length: 300001\r\nConnection: close\r\n\r\n")?;
            stream.write_all(&vec![7; 300_001])
        }
        Answer::Status(status) => {
            write!(stream, "HTTP/1.1 {status}\r\nContent-Length: 2\r\nConnection: close\r\n\r\nno")
        }
        Answer::Redirect if path.contains("/weights.bin") => {
            write!(
                stream,
                "HTTP/1.1 302 Found\r\nLocation: /elsewhere\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
            )
        }
        Answer::Redirect => part(start, usize::MAX, &mut stream),
    }
}

#[test]
fn a_model_is_downloaded_once_and_verified_where_it_lies() {
    let server = Server::new(&[Answer::Serve]);
    let said = server.pull(&[]).success().stdout;
    assert!(
        said.contains("licence: L, free to use (of somebody)") && said.contains("use: look into"),
        "{said}"
    );
    assert_eq!(server.stored(), Some(content()));
    let source = fs_err::read_to_string(server.path("models/test/source.toml")).unwrap();
    assert!(source.contains(HASH) && source.contains("revision = \"1\""), "{source}");
    assert!(server.pull(&[]).success().stdout.contains("all files are there and verified"));
    assert_eq!(server.asked(), [None]);
    let mut damaged = content();
    damaged[5] ^= 1;
    fs_err::write(server.path("models/test/weights.bin"), damaged).unwrap();
    server.pull(&[]).refused(&["is there with other content", "weights.bin"]);
}

#[test]
fn a_cut_connection_is_continued_where_it_ended() {
    let server = Server::new(&[Answer::Cut(100_000), Answer::Cut(0), Answer::Cut(50_000), Answer::Serve]);
    let noted = server.pull(&[]).success().stderr;
    assert!(noted.contains("100000 of 300000 bytes"), "{noted}");
    assert_eq!(server.asked(), [None, Some(100_000), Some(100_000), Some(150_000)]);
    assert_eq!(server.stored(), Some(content()));
    assert!(!server.path("models/test/.weights.bin.partial").exists());
}

#[test]
fn a_download_that_was_given_up_is_continued_by_the_next_command() {
    let server = Server::new(&[Answer::Cut(120_000), Answer::Status("503 Busy")]);
    server.pull(&[]).refused(&["ends at 120000 of 300000 bytes", "503", "the same command continues"]);
    assert_eq!(server.stored(), None);
    let second = Server::new(&[Answer::Serve]);
    fs_err::create_dir_all(second.path("models/test")).unwrap();
    let partial = "models/test/.weights.bin.partial";
    fs_err::copy(server.path(partial), second.path(partial)).unwrap();
    assert!(second.pull(&[]).success().stderr.contains("continued after 120000 of 300000 bytes"));
    assert_eq!((second.asked(), second.stored()), (vec![Some(120_000)], Some(content())));
}

#[test]
fn a_server_without_ranges_is_asked_for_the_whole_again() {
    let server =
        Server::new(&[Answer::Cut(100_000), Answer::IgnoreRange(200_000), Answer::IgnoreRange(300_000)]);
    server.pull(&[]).success();
    assert_eq!(server.asked(), [None, Some(100_000), Some(200_000)]);
    assert_eq!(server.stored(), Some(content()));
    let server = Server::new(&[Answer::Cut(100_000), Answer::OtherPart, Answer::Serve]);
    server.pull(&[]).success();
    assert_eq!((server.asked(), server.stored()), (vec![None, Some(100_000), None], Some(content())));
}

#[test]
fn bytes_that_are_not_those_of_the_manifest_are_never_stored() {
    for (answer, message) in [
        (Answer::WrongBytes, "other bytes than the manifest says"),
        (Answer::Endless, "more than the 300000 bytes"),
        (Answer::Longer, "offers 300001 bytes"),
        (Answer::Status("404 Not Found"), "the server says 404"),
        (Answer::Status("403 Forbidden"), "the server says 403"),
    ] {
        let server = Server::new(&[answer]);
        server.pull(&[]).refused(&[message, "/weights.bin"]);
        assert_eq!(server.stored(), None);
        assert_eq!(server.asked().len(), 1, "{message}");
        // A later attempt begins with nothing false.
        let partial = fs_err::read(server.path("models/test/.weights.bin.partial")).unwrap_or_default();
        assert!(partial.is_empty(), "{message}: {} bytes are left", partial.len());
    }
    // The part that is there is damaged: the hash is of the whole.
    let server = Server::new(&[Answer::Serve]);
    fs_err::create_dir_all(server.path("models/test")).unwrap();
    fs_err::write(server.path("models/test/.weights.bin.partial"), [9; 1000]).unwrap();
    server.pull(&[]).refused(&["other bytes than the manifest says"]);
    server.pull(&[]).success();
    assert_eq!(server.stored(), Some(content()));
}

#[test]
fn a_redirect_is_followed() {
    let server = Server::new(&[Answer::Redirect]);
    server.pull(&[]).success();
    assert_eq!(server.stored(), Some(content()));
}

#[test]
fn a_licence_that_is_not_free_is_shown_and_needs_consent() {
    for (terms, words) in
        [("non-commercial", "non-commercial use only"), ("unstated", "no terms of use stated")]
    {
        let server = Server::with_licence(&[Answer::Serve], terms);
        let refused = server.pull(&[]).refused(&["--accept-licence", words]);
        assert!(refused.stdout.contains(words), "{}", refused.stdout);
        assert!(server.asked().is_empty() && server.stored().is_none());
        assert!(server.pull(&["--accept-licence"]).success().stdout.contains("verified"));
        assert_eq!(server.stored(), Some(content()));
    }
}

#[test]
fn known_models_are_listed_with_licence_and_source() {
    let said = cosface(["models"]).success().stdout;
    assert_eq!(said, cosface(["models", "list"]).success().stdout);
    for part in
        ["yunet", "mtcnn", "scrfd-2.5g", "non-commercial use only", "mobilefacenet-casia", "no terms of use"]
    {
        assert!(said.contains(part), "{part} is not in: {said}");
    }
    cosface(["models", "pull", "resnet"]).refused(&["there are yunet, mtcnn", "resnet"]);
    let (out, missing) = (tempfile::tempdir().unwrap(), "no/such/manifest.toml");
    cosface(["models", "--manifest", missing]).refused(&[missing]);
    let manifest = out.path().join("manifest.toml");
    fs_err::write(&manifest, "[[model]]\nname = \"../x\"\n").unwrap();
    cosface(["models", "--manifest", manifest.to_str().unwrap()]).refused(&["not a manifest of models"]);
}

/// Sizes and hashes of the manifest are those of the research data, which are byte copies.
#[test]
fn what_the_manifest_says_is_true_of_the_files_we_have() {
    for (name, folder, files) in [
        ("yunet", "yunet", &["yunet_n_dynamic.onnx"][..]),
        ("mtcnn", "mtcnn", &["pnet.pt", "rnet.pt", "onet.pt"]),
        ("scrfd-2.5g", "scrfd", &["scrfd_2.5g_bnkps.onnx"]),
        ("mobilefacenet-casia", "mobilefacenet-casia", &["068.ckpt"]),
    ] {
        let Some(weights) = shared(&format!("data/weights/{folder}")) else { return };
        let models = tempfile::tempdir().unwrap();
        let place = models.path().join(name);
        fs_err::create_dir_all(&place).unwrap();
        for file in files {
            fs_err::copy(weights.join(file), place.join(file)).unwrap();
        }
        let to = models.path().to_str().unwrap();
        let said = cosface(["models", "pull", name, "--to", to]).success().stdout;
        assert!(said.contains("all files are there and verified"), "{said}");
    }
}
