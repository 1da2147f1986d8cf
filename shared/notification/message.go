package notification

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strings"
	"time"
	"unicode"

	"latchkey/shared/alert"
	"latchkey/shared/atlas"
)

// names are what people call the places that a message speaks of; ids stand in for what is gone.
type names struct{ group, org string }

// eventOf is what a notice tells of its alert.
func eventOf(n alert.Notice) Event {
	switch {
	case n.Final() && alert.Status(n.Stage) == alert.Cancelled:
		return Cancelled
	case n.Final():
		return Closed
	case n.Alert.Status.Ended(): // from the start: see alert.Service.Happened
		return Informed
	case n.Stage == "1":
		return Opened
	}
	return Updated
}

// messageOf is what a notice tells every target alike.
func messageOf(n alert.Notice, called names) Message {
	a := n.Alert
	m := Message{
		Incident: a.ID, Event: eventOf(n), GroupID: a.GroupID, Kind: string(a.Type), Severity: n.Severity, At: n.Due,
		Subject: line(fmt.Sprintf("[Latchkey] %s: %s in project %s", state(eventOf(n)), words(string(a.Type)), called.group)),
	}
	for _, f := range []Field{
		{"Project", called.group + " (" + a.GroupID + ")"},
		{"Organization", called.org},
		{"Event type", string(a.Type)},
		{"Severity", string(n.Severity)},
		{"Status", string(a.Status)},
		{"Since", atlas.Time(a.Created)},
		{"Until", when(a.Resolved)},
		{"Cluster", a.Facts.ClusterName},
		{"Replica set", a.Facts.ReplicaSetName},
		{"Host", a.Facts.HostnameAndPort},
		{"Value", value(a.Facts.Value)},
		{"Date", when(a.Facts.Ends)},
		{"Alert", a.ID},
		{"Alert configuration", a.ConfigID},
	} {
		if f.Value != "" {
			m.Fields = append(m.Fields, Field{f.Name, line(f.Value)})
		}
	}
	var b strings.Builder
	for _, sentence := range sentences(m.Event, a.Facts) {
		if sentence != "" {
			b.WriteString(sentence + "\n\n")
		}
	}
	for _, f := range m.Fields {
		fmt.Fprintf(&b, "%s: %s\n", f.Name, f.Value)
	}
	m.Text = b.String()
	return m
}

// sentences say what is the matter and what to do about it; of what is over, what was the matter.
func sentences(e Event, f alert.Facts) []string {
	switch {
	case f.Summary == "":
		return []string{f.Remedy}
	case e == Closed:
		return []string{"This is over:", f.Summary}
	case e == Cancelled:
		return []string{"The alert configuration does not ask for this any more:", f.Summary}
	}
	return []string{f.Summary, f.Remedy}
}

// messageOfMail is what an e-mail says.
func messageOfMail(m Mail) Message {
	return Message{GroupID: m.GroupID, Kind: string(m.Kind), At: m.Created, Subject: m.Subject, Text: m.Text}
}

// messageID names what one target is told by one delivery.
func messageID(d Delivery, i int) string {
	t := d.Targets[i]
	sum := sha256.Sum256([]byte(strings.Join([]string{d.GroupID, d.Entry, string(t.Kind), strings.ToLower(t.Address)}, "\x00")))
	return hex.EncodeToString(sum[:16])
}

func state(e Event) string {
	switch e {
	case Opened:
		return "Alert"
	case Updated:
		return "Still an alert"
	case Closed:
		return "Resolved"
	case Cancelled:
		return "Cancelled"
	case Informed:
	}
	return "Notice"
}

// words reads an event type as a person does.
func words(eventType string) string {
	w := strings.ToLower(strings.ReplaceAll(eventType, "_", " "))
	for _, initials := range []string{"aws", "gcp", "kms"} {
		w = strings.ReplaceAll(" "+w+" ", " "+initials+" ", " "+strings.ToUpper(initials)+" ")
		w = strings.TrimSpace(w)
	}
	return strings.ReplaceAll(w, "azure", "Azure")
}

func value(v alert.Value) string {
	if v.Units == "" {
		return ""
	}
	return fmt.Sprintf("%d %s", v.Number, strings.ToLower(v.Units))
}

func when(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return atlas.Time(t)
}

// line makes one line of what others named: names and hosts come from tenants.
func line(s string) string {
	s = strings.Map(func(r rune) rune {
		if unicode.IsControl(r) || r == '\u2028' || r == '\u2029' {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(s, "?"))
	if r := []rune(s); len(r) > maxSubject {
		return string(r[:maxSubject-1]) + "…"
	}
	return s
}
