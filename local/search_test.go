package main

import (
	"bytes"
	"errors"
	"io"
	"slices"
	"testing"
)

// searched is how much of a file is read at once.
const searched = 64 << 10

// holdsAny looks for needles in what it reads. Databases allocate their files ahead, so most of what is
// read is zeros, of which no needle consists.
func holdsAny(content io.Reader, needles [][]byte) (bool, error) {
	longest := 0
	for _, needle := range needles {
		longest = max(longest, len(needle))
	}
	zeros, buffer := make([]byte, longest+searched), make([]byte, longest+searched)
	for kept := 0; ; { // of the end of what was read before, where a needle may begin
		n, err := io.ReadFull(content, buffer[kept:kept+searched])
		window := buffer[:kept+n]
		in := func(needle []byte) bool { return bytes.Contains(window, needle) }
		if !bytes.Equal(window, zeros[:len(window)]) && slices.ContainsFunc(needles, in) {
			return true, nil
		}
		kept = copy(buffer, window[max(0, len(window)-longest):])
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			return false, nil
		}
		if err != nil {
			return false, err
		}
	}
}

func TestWhatAFileHoldsIsFoundWhereverItStands(t *testing.T) {
	t.Parallel()
	needles := [][]byte{[]byte("short"), []byte("a longer needle")}
	for _, at := range []int{0, 1, searched - 20, searched - 3, searched, 2*searched - 1, 3*searched + 5} {
		for _, needle := range needles {
			file := slices.Concat(make([]byte, at), needle, make([]byte, searched/2))
			if found, err := holdsAny(bytes.NewReader(file), needles); !found || err != nil {
				t.Errorf("%s at %d is not found, %v", needle, at, err)
			}
			file[at]++
			if found, err := holdsAny(bytes.NewReader(file), needles); found || err != nil {
				t.Errorf("something is found in other text at %d, %v", at, err)
			}
		}
	}
}
