//! Disks that fail under the log.

use std::io;
use std::sync::atomic::AtomicU8;

use super::super::disk::LogFile;
use super::*;

const FINE: u8 = 0;
const FULL: u8 = 1;
const BROKEN_WRITE: u8 = 2;
const BROKEN_SYNC: u8 = 3;
const FULL_AND_STUCK: u8 = 4;

struct Faulty {
    file: fs::File,
    mood: Arc<AtomicU8>,
}

impl LogFile for Faulty {
    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        match self.mood.load(Ordering::SeqCst) {
            FULL | FULL_AND_STUCK => {
                self.file.append(&bytes[..bytes.len() / 2])?;
                Err(io::ErrorKind::StorageFull.into())
            }
            BROKEN_WRITE => Err(io::Error::other("the cable is out")),
            _ => self.file.append(bytes),
        }
    }

    fn sync(&mut self) -> io::Result<()> {
        match self.mood.load(Ordering::SeqCst) {
            BROKEN_SYNC => Err(io::Error::other("the disk gave up")),
            _ => self.file.sync(),
        }
    }

    fn cut(&mut self, len: u64) -> io::Result<()> {
        match self.mood.load(Ordering::SeqCst) {
            FULL_AND_STUCK => Err(io::Error::other("not even that")),
            _ => self.file.cut(len),
        }
    }
}

fn open(dir: &Path) -> (Engine, Arc<AtomicU8>) {
    let mood = Arc::new(AtomicU8::new(FINE));
    let given = Arc::clone(&mood);
    let open: OpenLog = Arc::new(move |path| {
        let file = fs::OpenOptions::new().append(true).open(path)?;
        Ok(Box::new(Faulty { file, mood: Arc::clone(&given) }))
    });
    (Engine::open_on(options(dir), open).unwrap().0, mood)
}

#[tokio::test]
async fn a_full_disk_refuses_and_goes_on_when_there_is_room() {
    let dir = tempfile::tempdir().unwrap();
    let (engine, mood) = open(dir.path());
    engine.commit(changing(vec![put("a", "1")])).await.unwrap();
    mood.store(FULL, Ordering::SeqCst);
    let refused = engine.commit(changing(vec![put("a", "2"), merge("n", 1)])).await.unwrap_err();
    assert!(matches!(refused, CommitError::DiskFull { .. }), "{refused}");
    assert_eq!(engine.get(ROWS, b"a").unwrap().unwrap().value, b"1");
    mood.store(FINE, Ordering::SeqCst);
    assert_eq!(engine.commit(changing(vec![merge("n", 1)])).await.unwrap().merged, [1]);
    let all = contents(&engine);
    engine.close().await.unwrap();
    fs::remove_dir_all(dir.path().join("index")).unwrap();
    let (engine, report) = Engine::open(options(dir.path())).unwrap();
    assert_eq!((report.torn, report.lsn), (None, 2));
    assert_eq!(contents(&engine), all);
    engine.close().await.unwrap();
}

#[tokio::test]
async fn an_fsync_that_fails_stops_everything_for_good() {
    for broken in [BROKEN_SYNC, BROKEN_WRITE, FULL_AND_STUCK] {
        let dir = tempfile::tempdir().unwrap();
        let (engine, mood) = open(dir.path());
        engine.commit(changing(vec![put("a", "1")])).await.unwrap();
        mood.store(broken, Ordering::SeqCst);
        let stopped = engine.commit(changing(vec![put("a", "2")])).await.unwrap_err();
        assert!(matches!(stopped, CommitError::Stopped { .. }), "{stopped}");
        mood.store(FINE, Ordering::SeqCst);
        let still = engine.commit(changing(vec![put("a", "3")])).await.unwrap_err();
        assert_eq!(still, stopped, "the first reason stays");
        assert!(engine.health().failed.is_some());
        assert_eq!(engine.get(ROWS, b"a").unwrap().unwrap().value, b"1", "reads go on");
        let lsn = engine.health().lsn;
        assert_eq!(lsn, 1);
        engine.close().await.expect_err("there is no clean stop after this");
        let (engine, report) = Engine::open(options(dir.path())).unwrap();
        let value = engine.get(ROWS, b"a").unwrap().unwrap().value;
        match broken {
            // It was written, and nobody could say for how long: a restart looks.
            BROKEN_SYNC => assert_eq!((report.lsn, value.as_slice()), (2, b"2".as_slice())),
            _ => assert_eq!((report.lsn, value.as_slice()), (1, b"1".as_slice())),
        }
        engine.close().await.unwrap();
    }
}
