//go:build unix

package main

import (
	"flag"
	"io"
)

const intro = `latchkey-agent runs one database process whose data is encrypted under a master key
that the customer's own key (AWS KMS, Azure Key Vault, Google Cloud KMS) wraps.

  latchkey-agent -control-plane URL [flags] -- command [argument ...]

At the first start it enrols with a one-time token, makes a master key, has it wrapped
and stores the wrapped copy. At every start it has the key released, writes it to a file
in memory, starts the command, and removes the file once the database is ready. It stops
the database when the control plane says so (the customer revoked the key) and starts it
when the key is given back. When the control plane or the KMS cannot be reached, a
running database keeps running and a stopped one waits.

In the command {{.KeyFile}} is the path of the key file. It is empty while the node is
not encrypted, and arguments that become empty are left out.

Flags; each may also be set as a variable, -state-dir as LATCHKEY_STATE_DIR. The token
may be in LATCHKEY_ENROL_TOKEN. The database does not see these variables.

`

const outro = `
Files, in -state-dir (mode 0700, one agent at a time). Back it up with the data:
  keys.json      the wrapped master keys. Without it, or its copy, the data is unreadable
  identity.json  the agent's private key. Keep it to yourself
  node.json      which node this is
  commands.json  what the agent was told last
  *.previous     the file before its last change, read if the file itself is damaged
In -snapshot-dir, one directory per snapshot: the database's files as they are on disk, and
the wrapped master key. Whoever has them can open nothing without the customer's key.
Taking a snapshot stops the database for as long as the copy takes.
Below -key-dir, while the database starts:
  latchkey-NAME/master.key  the master key in the clear, mode 0600

Exit codes:
  0  told to stop (SIGTERM, SIGINT), or the node was deleted
  1  something failed; the log says what
  2  wrong flags or arguments
  3  not enrolled: no token, or it was refused
  4  the state directory is damaged, in use, or open to others
  5  -key-dir is not in memory
Restarting helps after 1 only.

Examples:
  MongoDB Enterprise, or a compatible server:
    latchkey-agent -control-plane https://keys.example.com -ready 127.0.0.1:27017 \
      -wipe-command 'rm -rf /var/lib/mongo/*' -- \
      mongod --config /etc/mongod.conf \
        '{{if .KeyFile}}--enableEncryption{{end}}' \
        '{{if .KeyFile}}--encryptionKeyFile={{.KeyFile}}{{end}}'

  MariaDB (encryption of tables is switched on in its own configuration, and the data
  directory is there; docs/agent.md has a script that makes it):
    latchkey-agent -control-plane https://keys.example.com -key-format mariadb \
      -ready 127.0.0.1:3306 -- \
      mariadbd '{{if .KeyFile}}--plugin-load-add=file_key_management{{end}}' \
        '{{if .KeyFile}}--file-key-management-filename={{.KeyFile}}{{end}}'
`

// help prints what the program does, its flags, files and exit codes.
func help(w io.Writer, f *flag.FlagSet) {
	io.WriteString(w, intro) //nolint:errcheck // nobody is left to tell
	f.SetOutput(w)
	f.PrintDefaults()
	io.WriteString(w, outro) //nolint:errcheck // likewise
}
