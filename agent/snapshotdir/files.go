package snapshotdir

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"

	"latchkey/agent"
)

const (
	format = 1
	magic  = "latchkey-snapshot-1 "
	// maxManifest bounds what is read: some hundred bytes for each of a hundred thousand files.
	maxManifest = 64 << 20
)

// manifest is what a snapshot consists of.
type manifest struct {
	Format   int            `json:"format"`
	Snapshot agent.Snapshot `json:"snapshot"`
	Files    []file         `json:"files"`
	Bytes    int64          `json:"bytes"`
}

type file struct {
	Name   string `json:"name"`
	Bytes  int64  `json:"bytes"`
	SHA256 string `json:"sha256"`
}

func (m manifest) write(root *os.Root) error {
	body, err := json.MarshalIndent(m, "", " ")
	if err != nil {
		return fmt.Errorf("encode the manifest: %w", err)
	}
	framed := append(fmt.Appendf(nil, "%s%x\n", magic, sha256.Sum256(body)), body...)
	f, err := root.OpenFile(manifestFile, os.O_CREATE|os.O_EXCL|os.O_WRONLY, fileMode)
	if err != nil {
		return err
	}
	_, err = f.Write(framed)
	return errors.Join(err, f.Sync(), f.Close())
}

func readManifest(root *os.Root, id string) (manifest, error) {
	f, err := root.Open(path.Join(id, manifestFile))
	if errors.Is(err, fs.ErrNotExist) {
		if _, statErr := root.Stat(id); errors.Is(statErr, fs.ErrNotExist) {
			return manifest{}, agent.ErrNoSnapshot
		}
		return manifest{}, fmt.Errorf("%w: %s has no manifest", agent.ErrSnapshotDamaged, id)
	}
	if err != nil {
		return manifest{}, err
	}
	defer f.Close() //nolint:errcheck // it was only read
	framed, err := io.ReadAll(io.LimitReader(f, maxManifest))
	if err != nil {
		return manifest{}, err
	}
	m, err := parse(framed)
	if err != nil || m.Snapshot.ID != id {
		return manifest{}, fmt.Errorf("%w: the manifest of %s", agent.ErrSnapshotDamaged, id)
	}
	return m, nil
}

func parse(framed []byte) (manifest, error) {
	var m manifest
	line, body, _ := bytes.Cut(framed, []byte("\n"))
	sum := sha256.Sum256(body)
	if string(line) != magic+hex.EncodeToString(sum[:]) {
		return manifest{}, agent.ErrSnapshotDamaged
	}
	if err := json.Unmarshal(body, &m); err != nil || m.Format != format {
		return manifest{}, agent.ErrSnapshotDamaged
	}
	for _, f := range m.Files {
		if !fs.ValidPath(f.Name) {
			return manifest{}, agent.ErrSnapshotDamaged
		}
	}
	return m, nil
}

var (
	errName = errors.New("snapshotdir: not the name of a file")
	errOpen = errors.New("snapshotdir: a file was not closed")
)

// sink implements agent.SnapshotSink.
type sink struct {
	ctx   context.Context //nolint:containedctx // it is the one of the call that the sink lives in
	root  *os.Root
	dirs  map[string]bool // to sync
	files []file
	bytes int64
	open  *writer
}

// Create implements agent.SnapshotSink.
func (s *sink) Create(name string) (io.WriteCloser, error) {
	if !fs.ValidPath(name) || name == "." {
		return nil, errName
	}
	if s.open != nil {
		return nil, errOpen
	}
	at := path.Join(content, name)
	if err := s.root.MkdirAll(path.Dir(at), dirMode); err != nil {
		return nil, err
	}
	for dir := path.Dir(at); dir != "."; dir = path.Dir(dir) {
		s.dirs[dir] = true
	}
	f, err := s.root.OpenFile(at, os.O_CREATE|os.O_EXCL|os.O_WRONLY, fileMode)
	if err != nil {
		return nil, err
	}
	s.open = &writer{sink: s, f: f, name: name, sum: sha256.New()}
	return s.open, nil
}

type writer struct {
	sink  *sink
	f     *os.File
	name  string
	sum   hash.Hash
	bytes int64
}

// Write implements io.Writer. It ends when the call that the snapshot is taken in does.
func (w *writer) Write(p []byte) (int, error) {
	if w.sink.ctx.Err() != nil {
		return 0, context.Cause(w.sink.ctx)
	}
	n, err := w.f.Write(p)
	w.sum.Write(p[:n])
	w.bytes += int64(n)
	return n, err
}

// Close implements io.Closer: the file is on disk.
func (w *writer) Close() error {
	if w.sink.open != w {
		return fs.ErrClosed
	}
	if err := errors.Join(w.f.Sync(), w.f.Close()); err != nil {
		return err // open stays: the snapshot is not finished
	}
	w.sink.open = nil
	w.sink.files = append(w.sink.files, file{Name: w.name, Bytes: w.bytes, SHA256: hex.EncodeToString(w.sum.Sum(nil))})
	w.sink.bytes += w.bytes
	return nil
}

// files implements agent.SnapshotFiles.
type files struct {
	dir, id  string
	manifest manifest
}

// Names implements agent.SnapshotFiles.
func (s files) Names() []string {
	names := make([]string, len(s.manifest.Files))
	for i, f := range s.manifest.Files {
		names[i] = f.Name
	}
	return names
}

// Open implements agent.SnapshotFiles.
func (s files) Open(name string) (io.ReadCloser, error) {
	for _, entry := range s.manifest.Files {
		if entry.Name != name {
			continue
		}
		root, err := os.OpenRoot(filepath.Join(s.dir, s.id))
		if errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("%w: %s", agent.ErrNoSnapshot, s.id)
		}
		if err != nil {
			return nil, err
		}
		defer root.Close() //nolint:errcheck // the file stays open
		f, err := root.Open(path.Join(content, name))
		if errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("%w: %s is missing", agent.ErrSnapshotDamaged, name)
		}
		if err != nil {
			return nil, err
		}
		return &reader{f: f, entry: entry, sum: sha256.New()}, nil
	}
	return nil, fmt.Errorf("%w: no file %s", agent.ErrSnapshotDamaged, name)
}

// reader compares what was read with the manifest before it says that the file ends.
type reader struct {
	f     *os.File
	entry file
	sum   hash.Hash
	bytes int64
}

// Read implements io.Reader.
func (r *reader) Read(p []byte) (int, error) {
	n, err := r.f.Read(p)
	r.sum.Write(p[:n])
	r.bytes += int64(n)
	if errors.Is(err, io.EOF) && (r.bytes != r.entry.Bytes || hex.EncodeToString(r.sum.Sum(nil)) != r.entry.SHA256) {
		return n, fmt.Errorf("%w: %s", agent.ErrSnapshotDamaged, r.entry.Name)
	}
	return n, err
}

// Close implements io.Closer.
func (r *reader) Close() error { return r.f.Close() }
