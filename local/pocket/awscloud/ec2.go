package awscloud

import (
	"encoding/xml"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"latchkey/local/pocket"
	"latchkey/local/pocket/awscloud/policy"
	"latchkey/shared/atlas"
)

const ec2Namespace = "http://ec2.amazonaws.com/doc/2016-11-15/"

// ec2Service is EC2 in every region: the default network of each account, and the interface VPC
// endpoints in it.
type ec2Service struct{ *Cloud }

// Serves reports whether host is EC2's.
func (ec2Service) Serves(host string) bool { return serves(host, "ec2") }

// Operation is the Action parameter.
func (ec2Service) Operation(c *pocket.Call) string { return formOf(c).Get("Action") }

// Serve answers the request.
func (s ec2Service) Serve(w http.ResponseWriter, c *pocket.Call) {
	s.mu.Lock()
	defer s.mu.Unlock()
	action := formOf(c).Get("Action")
	result, err := s.perform(c)
	if err != nil {
		writeEC2Failure(w, asFailure(err, "InternalError"))
		return
	}
	writeEC2(w, action, result)
}

func (s ec2Service) perform(call *pocket.Call) (any, error) {
	e, _ := parseHost(call.Host)
	who, refused, err := s.authenticate(call, e)
	if err != nil {
		return nil, err
	}
	if refused != nil {
		return nil, failWith(http.StatusUnauthorized, "AuthFailure", "AWS was not able to validate the provided access credentials")
	}
	form := formOf(call)
	action := form.Get("Action")
	operation, ok := ec2Operations[action]
	if !ok {
		return nil, fail("InvalidAction", "The action %s is not valid for this web service.", action)
	}
	return operation(&ec2Call{
		queryCall: &queryCall{
			Cloud: s.Cloud, service: "ec2", action: action, form: form, who: who, now: s.cfg.Now(), context: s.requestContext(call, e, who),
		},
		region: e.region,
	})
}

// Refuse answers as EC2 does when it denies, throttles or fails.
func (s ec2Service) Refuse(w http.ResponseWriter, c *pocket.Call, kind pocket.FaultKind) {
	switch kind {
	case pocket.Throttle:
		writeEC2Failure(w, failWith(http.StatusServiceUnavailable, "RequestLimitExceeded", "Request limit exceeded."))
	case pocket.ServerError:
		writeEC2Failure(w, failWith(http.StatusInternalServerError, "InternalError", "An internal error has occurred"))
	default:
		message := s.faultMessage(c, kind, "ec2:"+s.Operation(c))
		writeEC2Failure(w, failWith(http.StatusForbidden, "UnauthorizedOperation", "You are not authorized to perform this operation. %s", message))
	}
}

var ec2Operations = map[string]func(*ec2Call) (any, error){
	"DescribeVpcs":         (*ec2Call).describeVPCs,
	"DescribeSubnets":      (*ec2Call).describeSubnets,
	"CreateVpcEndpoint":    (*ec2Call).createVPCEndpoint,
	"DescribeVpcEndpoints": (*ec2Call).describeVPCEndpoints,
	"DeleteVpcEndpoints":   (*ec2Call).deleteVPCEndpoints,
}

// ec2Call is one authenticated request to EC2 in a region.
type ec2Call struct {
	*queryCall

	region atlas.AWSRegion
}

// account is the caller's, whose resources alone it sees.
func (q *ec2Call) account() string { return q.who.name.Account }

func (q *ec2Call) arn(resource string) string {
	return "arn:" + string(q.who.partition) + ":ec2:" + string(q.region) + ":" + q.account() + ":" + resource
}

// allow checks that the caller's own policies allow an action on a resource. more are condition
// keys that the request has beside the general ones.
func (q *ec2Call) allow(action, resource string, more map[string][]string) error {
	context := map[string][]string{}
	for _, keys := range []map[string][]string{q.context, more} {
		for name, values := range keys {
			context[strings.ToLower(name)] = values
		}
	}
	r := policy.Request{Caller: q.who.name, Action: "ec2:" + action, Resource: resource, Context: context}
	if why := q.who.judgeIdentity(r); why != "" {
		return failWith(http.StatusForbidden, "UnauthorizedOperation", "You are not authorized to perform this operation. %s", q.who.unauthorized(r.Action, resource, why))
	}
	return nil
}

// list reads a flat list parameter: name.1, name.2 and so on.
func (q *ec2Call) list(name string) []string {
	var all []string
	for i := 1; q.form.Has(name + "." + strconv.Itoa(i)); i++ {
		all = append(all, q.form.Get(name+"."+strconv.Itoa(i)))
	}
	return all
}

// filters reads the Filter parameters: values by name.
func (q *ec2Call) filters() map[string][]string {
	all := map[string][]string{}
	for i := 1; q.form.Has("Filter." + strconv.Itoa(i) + ".Name"); i++ {
		prefix := "Filter." + strconv.Itoa(i)
		name := q.form.Get(prefix + ".Name")
		all[name] = append(all[name], q.list(prefix+".Value")...)
	}
	return all
}

// matches reports whether a resource with these properties passes the filters. An unknown filter is
// the caller's mistake.
func matches(filters map[string][]string, properties map[string]string) (bool, error) {
	for name, values := range filters {
		value, known := properties[name]
		if !known && !strings.HasPrefix(name, "tag:") {
			return false, fail("InvalidParameterValue", "The filter '%s' is invalid", name)
		}
		if !known || !slices.Contains(values, value) {
			return false, nil
		}
	}
	return true, nil
}

// writeEC2 answers in EC2's own variant of the protocol AWS Query: the members of the result stand
// beside the request id.
func writeEC2(w http.ResponseWriter, action string, result any) {
	writeXML(w, http.StatusOK, func(enc *xml.Encoder, requestID string) error {
		response := xml.StartElement{Name: xml.Name{Local: action + "Response"}, Attr: []xml.Attr{{Name: xml.Name{Local: "xmlns"}, Value: ec2Namespace}}}
		if err := enc.EncodeToken(response); err != nil {
			return err
		}
		if err := enc.EncodeElement(requestID, xml.StartElement{Name: xml.Name{Local: "requestId"}}); err != nil {
			return err
		}
		if err := enc.Encode(result); err != nil {
			return err
		}
		return enc.EncodeToken(response.End())
	})
}

func writeEC2Failure(w http.ResponseWriter, f *failure) {
	type body struct {
		XMLName   xml.Name `xml:"Response"`
		Code      string   `xml:"Errors>Error>Code"`
		Message   string   `xml:"Errors>Error>Message"`
		RequestID string   `xml:"RequestID"`
	}
	writeXML(w, f.status, func(enc *xml.Encoder, requestID string) error {
		return enc.Encode(body{Code: f.code, Message: f.message, RequestID: requestID})
	})
}

// set is a list as EC2 writes it: <name><item>…</item></name>.
type set[T any] struct {
	Items []T `xml:"item"`
}
