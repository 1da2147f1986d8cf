package bolt_test

import (
	"fmt"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.etcd.io/bbolt"

	"latchkey/shared/store"
	"latchkey/shared/store/bolt"
)

// BenchmarkWrite writes one item per operation from 1, 8 and 64 goroutines, and reports the
// ratio of its time to that of bare bbolt in the same run: against db.Update, which syncs
// once per write, and against db.Batch, which groups writes by waiting up to 10 ms for more.
// Below 1 is faster than bbolt, though the table checks versions and keeps its index. The last ratio
// is what a feed of changes costs whoever wants one.
func BenchmarkWrite(b *testing.B) {
	for _, writers := range []int{1, 8, 64} {
		b.Run(fmt.Sprintf("writers=%d", writers), func(b *testing.B) {
			table, followed := open(b, filepath.Join(b.TempDir(), "table.db")), open(b, filepath.Join(b.TempDir(), "followed.db"))
			subscribe(b, followed, time.Now)
			bare := openBare(b)
			body := []byte(`{"some":"record","of":"usual","size":"` + fmt.Sprintf("%0200d", 0) + `"}`)
			write := func(table *bolt.Table) func(n int64) error {
				return func(n int64) error {
					k := fmt.Sprintf("item%09d", n)
					return table.Write(b.Context(), store.Put(store.Item{
						Key: store.Key{PK: "P", SK: k}, Index: store.Key{PK: "I", SK: k}, Body: body,
					}))
				}
			}
			own := spread(b, writers, write(table))
			fed := spread(b, writers, write(followed))
			put := func(n int64) func(tx *bbolt.Tx) error {
				return func(tx *bbolt.Tx) error {
					return tx.Bucket([]byte("items")).Put(fmt.Appendf(nil, "item%09d", n), body)
				}
			}
			update := spread(b, writers, func(n int64) error { return bare.Update(put(n)) })
			batch := spread(b, writers, func(n int64) error { return bare.Batch(put(n)) })
			b.ReportMetric(own.Seconds()/float64(b.N)*1e9, "ns/op")
			b.ReportMetric(own.Seconds()/update.Seconds(), "×bbolt-update")
			b.ReportMetric(own.Seconds()/batch.Seconds(), "×bbolt-batch")
			b.ReportMetric(fed.Seconds()/own.Seconds(), "×with-feed")
		})
	}
}

// BenchmarkGet reports the ratio to bbolt's own Get in the same run.
func BenchmarkGet(b *testing.B) {
	table, bare := open(b, filepath.Join(b.TempDir(), "table.db")), openBare(b)
	body := fmt.Appendf(nil, `{"n":"%0500d"}`, 0)
	fill(b, table, bare, body)
	own := spread(b, 1, func(n int64) error {
		_, err := table.Get(b.Context(), store.Key{PK: "P", SK: fmt.Sprintf("item%09d", n%100)})
		return err
	})
	floor := spread(b, 1, func(n int64) error {
		return bare.View(func(tx *bbolt.Tx) error {
			if len(tx.Bucket([]byte("items")).Get(fmt.Appendf(nil, "item%09d", n%100))) != len(body) {
				return fmt.Errorf("item %d is missing", n)
			}
			return nil
		})
	})
	b.ReportMetric(own.Seconds()/float64(b.N)*1e9, "ns/op")
	b.ReportMetric(own.Seconds()/floor.Seconds(), "×bbolt-get")
}

func fill(b *testing.B, table *bolt.Table, bare *bbolt.DB, body []byte) {
	b.Helper()
	for n := range 100 {
		k := fmt.Sprintf("item%09d", n)
		if err := table.Write(b.Context(), store.Put(store.Item{Key: store.Key{PK: "P", SK: k}, Body: body})); err != nil {
			b.Fatal(err)
		}
		err := bare.Update(func(tx *bbolt.Tx) error { return tx.Bucket([]byte("items")).Put([]byte(k), body) })
		if err != nil {
			b.Fatal(err)
		}
	}
}

func openBare(b *testing.B) *bbolt.DB {
	b.Helper()
	bare, err := bbolt.Open(filepath.Join(b.TempDir(), "bare.db"), 0o600, &bbolt.Options{FreelistType: bbolt.FreelistMapType})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		if err := bare.Close(); err != nil {
			b.Error(err)
		}
	})
	if err := bare.Update(func(tx *bbolt.Tx) error { _, err := tx.CreateBucket([]byte("items")); return err }); err != nil {
		b.Fatal(err)
	}
	return bare
}

// spread calls fn b.N times from so many goroutines and returns how long it took.
func spread(b *testing.B, workers int, fn func(n int64) error) time.Duration {
	b.Helper()
	var next atomic.Int64
	var group sync.WaitGroup
	start := time.Now()
	for range workers {
		group.Go(func() {
			for {
				n := next.Add(1)
				if n > int64(b.N) {
					return
				}
				if err := fn(n); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	group.Wait()
	return time.Since(start)
}
