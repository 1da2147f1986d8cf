package keyring_test

import (
	"errors"
	"net/http"
	"strconv"
	"testing"
	"time"

	"latchkey/shared/kms"
	"latchkey/shared/kms/keyring"
)

func TestAFullCacheDropsOneForEachThatIsNew(t *testing.T) {
	const size = 100
	c, made := keyring.NewCache(size), 0
	find := func(i int, renew bool) {
		t.Helper()
		if _, err := c.Find(renew, func() (int, error) { made++; return made, nil }, strconv.Itoa(i)); err != nil {
			t.Fatal(err)
		}
	}
	expect := func(want int, what string) {
		t.Helper()
		if made != want {
			t.Errorf("%s: %d were made, want %d", what, made, want)
		}
		made = 0
	}
	for i := range size {
		find(i, false)
	}
	expect(size, "the first")
	for i := range size {
		find(i, true)
	}
	expect(size, "renewed ones")
	for i := range size {
		find(i, false)
	}
	expect(0, "kept ones")
	for i := range 10 {
		find(size+i, false)
	}
	expect(10, "new ones")
	if n := c.Len(); n != size {
		t.Errorf("%d are kept", n)
	}
	for i := range size {
		find(i, false)
	}
	// Each that was dropped takes the place of another, seldom of one that is asked for later.
	if made < 1 || made > size/2 {
		t.Errorf("ten new ones cost %d of %d old ones", made, size)
	}
}

func TestACacheKeepsNothingThatCouldNotBeMade(t *testing.T) {
	c, sick := keyring.NewCache(1), errors.New("ill")
	if _, err := c.Find(false, func() (int, error) { return 0, sick }, "a"); !errors.Is(err, sick) {
		t.Error(err)
	}
	if c.Len() != 0 {
		t.Error("a failure was kept")
	}
}

// A function with little memory says how many credentials it keeps.
func TestNoMoreCredentialsAreKeptThanIsSaid(t *testing.T) {
	for said, want := range map[int]int{64: 64, 0: 300} {
		k, err := keyring.New(t.Context(), keyring.Config{Transport: http.DefaultTransport, Now: time.Now, Kept: said})
		if err != nil {
			t.Fatal(err)
		}
		for i := range 300 {
			_, err := k.Open(kms.Reference{GroupID: strconv.Itoa(i), AWS: &kms.AWSReference{
				KeyName: "arn:aws:kms:us-east-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab", Region: "us-east-1", RoleARN: "arn:aws:iam::111122223333:role/r",
			}})
			if err != nil {
				t.Fatal(err)
			}
		}
		if aws, azure := k.Kept(); aws != want || azure < 1 || azure > 4096 {
			t.Errorf("of %d that may be kept %d are, and of Azure %d may be", said, aws, azure)
		}
	}
}
