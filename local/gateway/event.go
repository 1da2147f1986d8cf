package gateway

import (
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"
)

// What REST APIs put into events where an account and an API would be.
const (
	accountID    = "123456789012"
	apiID        = "local"
	deploymentID = "local"
	region       = "us-east-1"
)

// exchange is one request on its way through the gateway.
type exchange struct {
	request   *http.Request
	body      []byte
	requestID string
	traceID   string
	received  time.Time
	stage     string

	route  Route
	params map[string]string
	path   string         // as functions see it
	caller map[string]any // the authorizer's context, nil without one
}

func newExchange(r *http.Request, stage string, now time.Time) *exchange {
	x := &exchange{
		request: r, requestID: uuid.NewString(), traceID: traceID(now), received: now, stage: stage,
	}
	x.path = "/" + strings.TrimLeft(r.URL.EscapedPath(), "/")
	return x
}

func traceID(now time.Time) string {
	var b [12]byte
	rand.Read(b[:])
	return fmt.Sprintf("Root=1-%08x-%s", uint32(now.Unix()), hex.EncodeToString(b[:])) //nolint:gosec // G115: wraps in 2106, as the format does
}

// sourceIP is the address of the client.
func (x *exchange) sourceIP() string {
	host, _, err := net.SplitHostPort(x.request.RemoteAddr)
	if err != nil {
		return x.request.RemoteAddr
	}
	return host
}

// common are the members that the events of authorizers and of integrations share.
func (x *exchange) common() map[string]any {
	headers, multiHeaders := x.headers()
	query, multiQuery := x.query()
	return map[string]any{
		"resource": x.route.Path, "path": x.path, "httpMethod": x.request.Method,
		"headers": headers, "multiValueHeaders": multiHeaders,
		"queryStringParameters": query, "multiValueQueryStringParameters": multiQuery,
		"pathParameters": x.params, "stageVariables": nil,
		"requestContext": x.context(),
	}
}

// authorizerEvent is the event of a REQUEST authorizer. It never holds the body.
func (x *exchange) authorizerEvent() map[string]any {
	e := x.common()
	e["type"], e["methodArn"] = "REQUEST", x.methodARN()
	for _, member := range []string{"queryStringParameters", "multiValueQueryStringParameters", "pathParameters", "stageVariables"} {
		e[member] = orEmpty(e[member])
	}
	return e
}

// orEmpty is an empty object in the place of nothing, as authorizers get it.
func orEmpty(v any) any {
	switch m := v.(type) {
	case nil:
		return map[string]string{}
	case map[string]string:
		if m == nil {
			return map[string]string{}
		}
	case map[string][]string:
		if m == nil {
			return map[string]string{}
		}
	}
	return v
}

// proxyEvent is the event of a Lambda proxy integration.
func (x *exchange) proxyEvent() map[string]any {
	e := x.common()
	e["isBase64Encoded"] = false // the API has no binary media types, so every body is text
	e["body"] = nil
	if len(x.body) > 0 {
		e["body"] = string(x.body)
	}
	return e
}

func (x *exchange) methodARN() string {
	return fmt.Sprintf("arn:aws:execute-api:%s:%s:%s/%s/%s/%s",
		region, accountID, apiID, x.stage, x.request.Method, strings.TrimPrefix(x.path, "/"))
}

// context is the requestContext. The URL has no stage here, as behind a custom domain.
func (x *exchange) context() map[string]any {
	c := map[string]any{
		"accountId": accountID, "apiId": apiID, "deploymentId": deploymentID, "stage": x.stage,
		"domainName": x.request.Host, "domainPrefix": apiID,
		"extendedRequestId": x.requestID, "requestId": x.requestID,
		"httpMethod": x.request.Method, "path": x.request.URL.EscapedPath(), "protocol": x.request.Proto,
		"requestTime": x.received.UTC().Format("02/Jan/2006:15:04:05 -0700"), "requestTimeEpoch": x.received.UnixMilli(),
		"resourceId": "local", "resourcePath": x.route.Path,
		"identity": map[string]any{
			"accessKey": nil, "accountId": nil, "caller": nil, "cognitoAuthenticationProvider": nil,
			"cognitoAuthenticationType": nil, "cognitoIdentityId": nil, "cognitoIdentityPoolId": nil,
			"principalOrgId": nil, "sourceIp": x.sourceIP(), "user": nil,
			"userAgent": x.request.UserAgent(), "userArn": nil,
		},
	}
	if x.caller != nil {
		c["authorizer"] = x.caller
	}
	return c
}

// dropped are the request headers that never reach a function.
var dropped = []string{
	"Connection", "Content-Length", "Content-Md5", "Expect", "Max-Forwards", "Proxy-Authenticate", "Server", "Te",
	"Trailer", "Transfer-Encoding", "Upgrade", "Www-Authenticate",
}

// headers are the request's headers and those that the gateway adds: by name the last value,
// and all.
func (x *exchange) headers() (map[string]string, map[string][]string) {
	all := x.request.Header.Clone()
	for _, name := range dropped {
		all.Del(name)
	}
	all.Set("Host", x.request.Host)
	all.Set("X-Amzn-Trace-Id", x.traceID)
	all.Set("X-Forwarded-For", strings.Join(append(x.request.Header.Values("X-Forwarded-For"), x.sourceIP()), ", "))
	all.Set("X-Forwarded-Proto", x.scheme())
	all.Set("X-Forwarded-Port", x.port())
	last := map[string]string{}
	for name, values := range all {
		last[name] = values[len(values)-1]
	}
	return last, all
}

func (x *exchange) scheme() string {
	if x.request.TLS != nil {
		return "https"
	}
	return "http"
}

func (x *exchange) port() string {
	if _, port, err := net.SplitHostPort(x.request.Host); err == nil {
		return port
	}
	if x.request.TLS != nil {
		return strconv.Itoa(443)
	}
	return strconv.Itoa(80)
}

// query decodes the query string: by name the last value, and all; nil if there is none. What
// is no percent-encoding stays as it is.
func (x *exchange) query() (map[string]string, map[string][]string) {
	var last map[string]string
	var all map[string][]string
	for pair := range strings.FieldsFuncSeq(x.request.URL.RawQuery, func(c rune) bool { return c == '&' || c == ';' }) {
		name, value, _ := strings.Cut(pair, "=")
		name, value = unescape(name), unescape(value)
		if all == nil {
			last, all = map[string]string{}, map[string][]string{}
		}
		last[name] = value
		all[name] = append(all[name], value)
	}
	return last, all
}

func unescape(s string) string {
	if decoded, err := url.QueryUnescape(s); err == nil {
		return decoded
	}
	return s
}
