package bucket

import (
	"bytes"
	"context"
	"crypto/md5"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"time"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"
)

const (
	// attempt bounds one request, patience all attempts of one.
	attempt  = 20 * time.Second
	patience = time.Minute
	// firstWait and mostWait are how long it is waited between them.
	firstWait, mostWait = 100 * time.Millisecond, 5 * time.Second
	// most is the largest object that is read.
	most = 256 << 20
)

// client makes the requests. It is safe for concurrent use.
type client struct {
	core   *minio.Core
	bucket string
	prefix string // "" or with a slash at its end
	skew   atomic.Int64
}

// condition is what must hold for an object to be written: that it has the version, or
// that it is not there.
type condition struct{ etag string }

// Error is a request that the store, or the way to it, failed.
type Error struct {
	// Path is the object's, or the bucket's.
	Path string
	// Code is the store's code, such as AccessDenied, or "" where the store was not
	// reached.
	Code string
	// Err says what happened.
	Err error
}

// Error names the object and what happened.
func (e *Error) Error() string {
	if e.Code != "" {
		return fmt.Sprintf("%s: %v (%s)", e.Path, e.Err, e.Code)
	}
	return fmt.Sprintf("%s: %v", e.Path, e.Err)
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// Hint says what to do about it, or "".
func (e *Error) Hint() string {
	switch e.Code {
	case "AccessDenied", "AllAccessDisabled":
		return "let these credentials list the bucket, and get and put objects under the prefix (s3:ListBucket, s3:GetObject, s3:PutObject)"
	case "NoSuchBucket":
		return "create the bucket, or correct dls_settings.checkpointing.directory"
	case "InvalidAccessKeyId", "SignatureDoesNotMatch", "ExpiredToken", "InvalidToken":
		return "check the credentials of the store: the environment (AWS_ACCESS_KEY_ID), ~/.aws/credentials, or the identity of the machine"
	case "RequestTimeTooSkewed":
		return "set this machine's clock"
	case "AuthorizationHeaderMalformed", "PermanentRedirect", "TemporaryRedirect", "InvalidRegion":
		return "set the bucket's region in dls_settings.checkpointing.directory: s3://bucket/prefix?region=…"
	}
	if _, ok := errors.AsType[*tls.CertificateVerificationError](e.Err); ok {
		return "if an authority of your own has signed the store's certificate, name it in dls_settings.checkpointing.ca_filepath"
	}
	return "what was delivered and not noted is sent again; the next run goes on"
}

func newClient(o Options) (*client, error) {
	transport := o.Transport
	if transport == nil {
		t := http.DefaultTransport.(*http.Transport).Clone()
		t.MaxIdleConns, t.MaxIdleConnsPerHost = 2*parallel, 2*parallel
		t.TLSClientConfig = &tls.Config{MinVersion: tls.VersionTLS12}
		if o.CAPEM != nil {
			t.TLSClientConfig.RootCAs = x509.NewCertPool()
			if !t.TLSClientConfig.RootCAs.AppendCertsFromPEM(o.CAPEM) {
				return nil, errors.New("there is no certificate in it")
			}
		}
		transport = t
	}
	c := &client{bucket: o.Bucket}
	if o.Prefix != "" {
		c.prefix = strings.Trim(o.Prefix, "/") + "/"
	}
	creds := credentials.NewChainCredentials([]credentials.Provider{
		&credentials.EnvAWS{}, &credentials.FileAWSCredentials{},
		&credentials.IAM{Client: &http.Client{Timeout: 5 * time.Second}, Region: o.Region},
	})
	endpoint := o.Endpoint
	if endpoint == "" {
		endpoint = "s3." + o.Region + ".amazonaws.com"
	}
	core, err := minio.NewCore(endpoint, &minio.Options{
		Creds: creds, Secure: !o.Plaintext, Region: o.Region, MaxRetries: 1, // a write that is done again must be looked after
		Transport: &clock{transport, &c.skew},
	})
	if err != nil {
		return nil, err
	}
	core.SetAppInfo("dls", o.Version)
	c.core = core
	return c, nil
}

// clock reads the store's clock off its answers.
type clock struct {
	http.RoundTripper
	skew *atomic.Int64
}

func (c *clock) RoundTrip(r *http.Request) (*http.Response, error) {
	resp, err := c.RoundTripper.RoundTrip(r)
	if err == nil {
		if date, err := http.ParseTime(resp.Header.Get("Date")); err == nil {
			c.skew.Store(int64(time.Until(date)))
		}
	}
	return resp, err
}

// now is the time by the store's clock, as its last answer told it.
func (c *client) now() time.Time { return time.Now().Add(time.Duration(c.skew.Load())) }

// path names an object in messages.
func (c *client) path(name string) string { return "s3://" + c.bucket + "/" + c.prefix + name }

// wrong is the error of a request.
func (c *client) wrong(name string, err error) error {
	if err == nil {
		return nil
	}
	if answer, ok := errors.AsType[minio.ErrorResponse](err); ok {
		return &Error{c.path(name), answer.Code, errors.New(clean(answer.Error()))}
	}
	return &Error{Path: c.path(name), Err: err}
}

// clean makes one line of what a store says, of bounded length.
func clean(text string) string {
	text = strings.Join(strings.Fields(text), " ")
	if len(text) > 300 {
		text = strings.ToValidUTF8(text[:300], "") + "…"
	}
	return text
}

// status is that of the store's answer, or 0 where there was none.
func status(err error) int {
	answer, _ := errors.AsType[minio.ErrorResponse](err)
	return answer.StatusCode
}

// temporary tells whether a request may succeed when it is made again: no answer came,
// or one that says so.
func temporary(err error) bool {
	if _, ok := errors.AsType[*tls.CertificateVerificationError](err); ok || errors.Is(err, errMoved) {
		return false
	}
	if dns, ok := errors.AsType[*net.DNSError](err); ok && dns.IsNotFound {
		return false
	}
	switch s := status(err); s {
	case 0, http.StatusRequestTimeout, http.StatusTooManyRequests:
		return true
	case http.StatusConflict: // a write to the object goes on just now
		return true
	default:
		return s >= 500 && s != http.StatusNotImplemented
	}
}

// try makes a request until it succeeds, fails for good, or patience ends. once makes
// it once.
func (c *client) try(ctx context.Context, once func(ctx context.Context) error) error {
	began, wait := time.Now(), firstWait
	for {
		one, cancel := context.WithTimeoutCause(ctx, attempt, fmt.Errorf("no answer within %v", attempt))
		err := once(one)
		if err != nil && one.Err() != nil {
			err = context.Cause(one)
		}
		cancel()
		if err == nil || ctx.Err() != nil || !temporary(err) || time.Since(began)+wait > patience {
			return err
		}
		if !sleep(ctx, wait/2+rand.N(wait/2)) {
			return err
		}
		wait = min(2*wait, mostWait)
	}
}

// sleep waits, and tells whether it did so to the end.
func sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// get reads an object and its version. The error wraps fs.ErrNotExist where there is
// none.
func (c *client) get(ctx context.Context, name string) (data []byte, etag string, err error) {
	err = c.try(ctx, func(ctx context.Context) error {
		data, etag, err = c.getOnce(ctx, name)
		return err
	})
	if absent(err) {
		return nil, "", fs.ErrNotExist
	}
	return data, etag, c.wrong(name, err)
}

func (c *client) getOnce(ctx context.Context, name string) ([]byte, string, error) {
	body, info, _, err := c.core.GetObject(ctx, c.bucket, c.prefix+name, minio.GetObjectOptions{})
	if err != nil {
		return nil, "", err
	}
	defer body.Close()
	data, err := io.ReadAll(io.LimitReader(body, most+1))
	if err == nil && len(data) > most {
		err = fmt.Errorf("it is larger than %d bytes", most)
	}
	return data, info.ETag, err
}

// absent tells whether an object is not there. A bucket that is not there is another
// matter.
func absent(err error) bool {
	answer, ok := errors.AsType[minio.ErrorResponse](err)
	return ok && answer.StatusCode == http.StatusNotFound && answer.Code != minio.NoSuchBucket
}

// version returns an object's version, or "" where there is none.
func (c *client) version(ctx context.Context, name string) (etag string, err error) {
	err = c.try(ctx, func(ctx context.Context) error {
		info, err := c.core.StatObject(ctx, c.bucket, c.prefix+name, minio.StatObjectOptions{})
		etag = info.ETag
		return err
	})
	if absent(err) {
		return "", nil
	}
	return etag, c.wrong(name, err)
}

// entry is an object in a listing.
type entry struct {
	name, etag string
	size       int64
	modified   time.Time
}

// list returns the objects whose names begin so, in order.
func (c *client) list(ctx context.Context, begin string) (all []entry, err error) {
	err = c.try(ctx, func(ctx context.Context) error {
		all = all[:0]
		for info := range c.core.Client.ListObjects(ctx, c.bucket, minio.ListObjectsOptions{Prefix: c.prefix + begin, Recursive: true}) {
			if info.Err != nil {
				return info.Err
			}
			all = append(all, entry{strings.TrimPrefix(info.Key, c.prefix), strings.Trim(info.ETag, `"`), info.Size, info.LastModified})
		}
		return ctx.Err()
	})
	return all, c.wrong(begin, err)
}

// put writes an object if the condition holds, once.
func (c *client) put(ctx context.Context, name string, data []byte, only condition) (etag string, err error) {
	// The store holds the content against both.
	short, long := md5.Sum(data), sha256.Sum256(data)
	o := minio.PutObjectOptions{DisableContentSha256: true}
	if only.etag == "" {
		o.SetMatchETagExcept("*")
	} else {
		o.SetMatchETag(only.etag)
	}
	info, err := c.core.PutObject(ctx, c.bucket, c.prefix+name, bytes.NewReader(data), int64(len(data)),
		base64.StdEncoding.EncodeToString(short[:]), hex.EncodeToString(long[:]), o)
	return info.ETag, err
}

// errMoved is an object that another has written since its version was read.
var errMoved = errors.New("another run has written it meanwhile")

// write writes an object if the condition holds, and returns its new version. Where an
// answer was lost, or a condition did not hold, what is there is read and compared: it
// may be this very write. The error is errMoved where the object is another's.
func (c *client) write(ctx context.Context, name string, data []byte, only condition) (etag string, err error) {
	err = c.try(ctx, func(ctx context.Context) error {
		var failed error
		etag, failed = c.put(ctx, name, data, only)
		if failed == nil {
			return nil
		}
		refused := status(failed) == http.StatusPreconditionFailed || absent(failed)
		if !refused && !temporary(failed) {
			return failed
		}
		if context.Cause(ctx) != nil {
			// The attempt's time is over: what is there is seen with the next one, whose
			// condition does not hold if this one was done.
			return failed
		}
		there, now, err := c.getOnce(ctx, name)
		switch {
		case absent(err):
			now = ""
		case err != nil:
			return failedOr(failed, err)
		case bytes.Equal(there, data):
			etag = now
			return nil
		}
		if now != only.etag {
			return errMoved
		}
		if refused { // though the condition holds: look again
			return &unsettled{failed}
		}
		return failed
	})
	if errors.Is(err, errMoved) {
		return "", err
	}
	return etag, c.wrong(name, err)
}

// unsettled is a refusal that what is there does not bear out.
type unsettled struct{ error }

// failedOr is the error of a write that failed and could not be looked after.
func failedOr(failed, looking error) error {
	if temporary(failed) {
		return failed
	}
	return looking
}
