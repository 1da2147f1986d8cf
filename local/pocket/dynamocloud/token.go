package dynamocloud

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"strings"
	"time"

	"go.etcd.io/bbolt"

	"latchkey/local/pocket/awscloud"
)

// tokenLife is how long a transaction is known by its token.
const tokenLife = 10 * time.Minute

// maxToken bounds a ClientRequestToken.
const maxToken = 36

// timeSize is the length of the time that the keys of two buckets begin with.
const timeSize = 8

// once recognises a transaction that is sent again.
type once struct {
	id     []byte // nil for a transaction without a token
	digest [sha256.Size]byte
	now    time.Time
}

func (in transactIn) once(r *awscloud.Request) (once, error) {
	if in.ClientRequestToken == "" {
		return once{}, nil
	}
	body, err := json.Marshal(in.TransactItems) // whatever the order of its members was
	if err != nil {
		return once{}, err
	}
	id := strings.Join([]string{r.Account, r.Region, in.ClientRequestToken}, "/")
	return once{id: []byte(id), digest: sha256.Sum256(body), now: r.Now}, nil
}

// isDone reports whether the transaction has happened. The token of another one is refused.
func (o once) isDone(tx *bbolt.Tx) (bool, error) {
	kept := tx.Bucket([]byte(tokensBucket)).Get(o.id)
	if len(kept) != timeSize+sha256.Size || o.now.Sub(timeOf(kept)) > tokenLife {
		return false, nil
	}
	if !bytes.Equal(kept[timeSize:], o.digest[:]) {
		return false, &awscloud.Failure{
			Code:    "IdempotentParameterMismatchException",
			Message: "DynamoDB rejected the request because you retried a request with a different payload but with an idempotent token that was already used.",
		}
	}
	return true, nil
}

// remember notes that the transaction has happened, and forgets those that are too old.
func (o once) remember(tx *bbolt.Tx) error {
	if o.id == nil {
		return nil
	}
	tokens, ages := tx.Bucket([]byte(tokensBucket)), tx.Bucket([]byte(tokenAgesBucket))
	var old [][]byte // collected first, since a cursor does not outlive a deletion
	c := ages.Cursor()
	for k, _ := c.First(); k != nil && len(old) < maxSwept && o.now.Sub(timeOf(k)) > tokenLife; k, _ = c.Next() {
		old = append(old, bytes.Clone(k))
	}
	for _, k := range old {
		if err := ages.Delete(k); err != nil {
			return err
		}
		if kept := tokens.Get(k[timeSize:]); len(kept) >= timeSize && bytes.Equal(kept[:timeSize], k[:timeSize]) {
			if err := tokens.Delete(k[timeSize:]); err != nil {
				return err
			}
		}
	}
	at := binary.BigEndian.AppendUint64(nil, uint64(o.now.UnixMilli()))
	if err := ages.Put(append(bytes.Clone(at), o.id...), nil); err != nil {
		return err
	}
	return tokens.Put(o.id, append(at, o.digest[:]...))
}

func timeOf(b []byte) time.Time {
	return time.UnixMilli(int64(binary.BigEndian.Uint64(b))) //nolint:gosec // as written
}
