package clouds_test

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/kms/types"
	"github.com/aws/smithy-go"

	"latchkey/bench/clouds"
)

const key = "arn:aws:kms:us-east-1:000000000001:key/a"

func client(c *clouds.Clouds, token string) *kms.Client {
	return kms.New(kms.Options{
		Region: "us-east-1", HTTPClient: &http.Client{Transport: c}, Retryer: aws.NopRetryer{},
		Credentials: credentials.NewStaticCredentialsProvider("ASIA", "s", token),
	})
}

func TestACiphertextOpensWithItsKeyForItsUseOnly(t *testing.T) {
	c := clouds.New(time.Now)
	token, _ := c.Token()
	use := map[string]string{"use": "probe"}
	sealed := clouds.SealAWS(key, use, []byte("secret"))
	decrypt := func(name string, use map[string]string) ([]byte, error) {
		out, err := client(c, token).Decrypt(t.Context(), &kms.DecryptInput{KeyId: &name, CiphertextBlob: sealed, EncryptionContext: use})
		if err != nil {
			return nil, err
		}
		return out.Plaintext, nil
	}
	if opened, err := decrypt(key, use); err != nil || string(opened) != "secret" {
		t.Errorf("%q %v", opened, err)
	}
	for _, try := range []func() ([]byte, error){
		func() ([]byte, error) { return decrypt(key+"b", use) },
		func() ([]byte, error) { return decrypt(key, map[string]string{"use": "another"}) },
	} {
		if _, err := try(); !isA[*types.InvalidCiphertextException](err) {
			t.Errorf("what was made otherwise gives %v", err)
		}
	}
	if c.Count(clouds.Decrypt) != 1 || c.Count(clouds.Refused) != 2 || c.Total() != 3 {
		t.Errorf("%d decrypts, %d refusals, %d requests", c.Count(clouds.Decrypt), c.Count(clouds.Refused), c.Total())
	}
}

func isA[E error](err error) bool {
	_, ok := errors.AsType[E](err)
	return ok
}

func TestATokenThatWasNotIssuedOrHasEndedOpensNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := clouds.New(time.Now)
		good, expires := c.Token()
		describe := func(token string) error {
			_, err := client(c, token).DescribeKey(t.Context(), &kms.DescribeKeyInput{KeyId: aws.String(key)})
			return err
		}
		if err := describe(good); err != nil {
			t.Error(err)
		}
		time.Sleep(time.Until(expires))
		for _, token := range []string{"", "made up", "99999999999" + strings.TrimLeft(good, "0123456789"), good} {
			err := describe(token)
			if refused, ok := errors.AsType[smithy.APIError](err); !ok || refused.ErrorCode() != "UnrecognizedClientException" {
				t.Errorf("the token %.20q gives %v", token, err)
			}
		}
	})
}

func TestAnswersTakeTheirTimeAndThoseOfHushedKeysLonger(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := clouds.New(time.Now)
		c.Delay(20 * time.Millisecond)
		token, _ := c.Token()
		ask := func(name string, patience time.Duration) (time.Duration, error) {
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			defer cancel()
			began := time.Now()
			_, err := client(c, token).DescribeKey(ctx, &kms.DescribeKeyInput{KeyId: &name})
			return time.Since(began), err
		}
		c.Hush(":000000000002:")
		if took, err := ask(key, time.Minute); err != nil || took != 20*time.Millisecond {
			t.Errorf("%v %v", took, err)
		}
		last := c.Last()
		silent := strings.Replace(key, "1:key", "2:key", 1)
		if took, err := ask(silent, time.Minute); err != nil || took != clouds.Silence {
			t.Errorf("%v %v", took, err)
		}
		if took, err := ask(silent, time.Second); err == nil || took != time.Second {
			t.Errorf("who waits no longer waits for %v: %v", took, err)
		}
		if !c.Last().Equal(last) {
			t.Error("hushed keys count as the last that answered")
		}
	})
}
