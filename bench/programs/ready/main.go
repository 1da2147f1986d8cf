// Command ready is the floor of programs that serve: it says that it is ready, and waits to be ended.
package main

import (
	"fmt"
	"io"
	"os"
)

func main() {
	fmt.Println("ready")
	io.Copy(io.Discard, os.Stdin) //nolint:errcheck // whoever started it ends it
	select {}
}
