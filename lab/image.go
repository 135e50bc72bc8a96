package lab

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"debug/elf"
	_ "embed" // the init script
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
)

// image is what QEMU boots.
type image struct {
	kernel  string // a file: vmlinux where it could be unpacked, else bzImage
	initrd  string // a file
	modules string // the directory that holds lib/modules
}

//go:embed init.sh
var initScript []byte

// bootModules are what the initial RAM disk needs to reach the machine's root.
var bootModules = [...]string{"virtio_pci", "virtio_net", "9p", "9pnet_virtio", "overlay"}

// ramDisk is the part of an initial RAM disk that boots share.
type ramDisk struct {
	name    string // of its file, before the script's checksum
	script  []byte
	modules []string // one with a question mark may be missing: a kernel may have it built in
}

func guestDisk() ramDisk { return ramDisk{"initrd", initScript, bootModules[:]} }

// programs are what the lab runs, by the Debian package that has them.
var programs = [...]struct{ name, pkg string }{
	{"qemu-system-x86_64", "qemu-system-x86"},
	{"depmod", "kmod"},
	{"busybox", "busybox-static"},
	{"sshd", "openssh-server"},
	{"ssh-keygen", "openssh-client"},
	{"apt-get", "apt"},
	{"dpkg-deb", "dpkg"},
}

// require says what has to be installed, all at once.
func require() error {
	if runtime.GOOS != "linux" || runtime.GOARCH != "amd64" {
		return fmt.Errorf("the lab runs on Linux on amd64, not on %s/%s", runtime.GOOS, runtime.GOARCH)
	}
	var missing []string
	for _, p := range programs {
		if _, err := program(p.name); err != nil {
			missing = append(missing, p.pkg)
		}
	}
	if path, err := program("busybox"); err == nil && !static(path) {
		missing = append(missing, "busybox-static")
	}
	if len(missing) > 0 {
		return fmt.Errorf("the lab needs programs that are not installed: apt-get install --yes --no-install-recommends %s",
			strings.Join(missing, " "))
	}
	return nil
}

// program finds an executable, in the directories of the system too: they are
// not in every user's PATH.
func program(name string) (string, error) {
	if path, err := exec.LookPath(name); err == nil {
		return path, nil
	}
	return exec.LookPath(filepath.Join("/usr/sbin", name))
}

// static tells whether a program runs without the system's libraries.
func static(path string) bool {
	f, err := elf.Open(path)
	if err != nil {
		return false
	}
	defer f.Close()
	return !slices.ContainsFunc(f.Progs, func(p *elf.Prog) bool { return p.Type == elf.PT_INTERP })
}

// ensureImage fetches the kernel and makes the initial RAM disk, once: later
// runs find both in the cache.
func ensureImage(ctx context.Context, cache string, progress func(string)) (image, error) {
	pkg, err := kernelPackage(ctx)
	if err != nil {
		if found, _ := filepath.Glob(filepath.Join(cache, "linux-image-*")); len(found) == 1 {
			pkg = filepath.Base(found[0]) // no package lists, but a kernel from before
		} else {
			return image{}, err
		}
	}
	dir := filepath.Join(cache, pkg)
	img := image{modules: filepath.Join(dir, "root")}
	if _, err := os.Stat(dir); err != nil {
		progress("fetching the kernel (" + pkg + ", once)")
		if err := fetchKernel(ctx, cache, pkg); err != nil {
			return image{}, err
		}
	}
	for _, name := range []string{"vmlinux", "vmlinuz"} {
		img.kernel = filepath.Join(dir, name)
		if _, err := os.Stat(img.kernel); err == nil {
			break
		}
	}
	if img.initrd, err = img.ensureInitrd(guestDisk()); err != nil {
		return image{}, err
	}
	return img, nil
}

// ensureInitrd makes a RAM disk once, and returns its file.
func (i image) ensureInitrd(d ramDisk) (string, error) {
	sum := sha256.Sum256(fmt.Append(d.script, d.modules))
	path := filepath.Join(filepath.Dir(i.modules), fmt.Sprintf("%s-%x.gz", d.name, sum[:6]))
	if _, err := os.Stat(path); err == nil {
		return path, nil
	}
	if err := writeInitrd(path, i.modules, d); err != nil {
		return "", fmt.Errorf("make the lab's initial RAM disk: %w", err)
	}
	return path, nil
}

// kernelPackage asks apt for the image that linux-image-amd64 depends on.
func kernelPackage(ctx context.Context) (string, error) {
	out, err := exec.CommandContext(ctx, "apt-cache", "depends", "linux-image-amd64").Output()
	for line := range strings.Lines(string(out)) {
		if name, ok := strings.CutPrefix(strings.TrimSpace(line), "Depends: "); ok && strings.HasPrefix(name, "linux-image-") {
			return name, nil
		}
	}
	return "", fmt.Errorf("find the kernel that linux-image-amd64 depends on: run apt-get update, on a Debian system: %w",
		errors.Join(err, errors.New("apt-cache names none")))
}

// fetchKernel unpacks the package beside the cache's other contents, and moves
// it there in one step when it is complete.
func fetchKernel(ctx context.Context, cache, pkg string) error {
	if err := os.MkdirAll(cache, 0o755); err != nil {
		return err
	}
	tmp, err := os.MkdirTemp(cache, "fetch-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(tmp)
	if err := os.Chmod(tmp, 0o755); err != nil { // apt's own user writes here where it may
		return err
	}
	if err := run(ctx, tmp, "apt-get", "-qq", "download", pkg); err != nil {
		return fmt.Errorf("fetch the lab's kernel: %w", err)
	}
	debs, _ := filepath.Glob(filepath.Join(tmp, "*.deb"))
	if len(debs) != 1 {
		return fmt.Errorf("fetch the lab's kernel: apt-get download %s left %d packages", pkg, len(debs))
	}
	root := filepath.Join(tmp, "root")
	if err := run(ctx, tmp, "dpkg-deb", "-x", debs[0], root); err != nil {
		return err
	}
	if err := errors.Join(os.Remove(debs[0]), prepareKernel(ctx, tmp, root)); err != nil {
		return err
	}
	if err := os.Rename(tmp, filepath.Join(cache, pkg)); err != nil && !errors.Is(err, os.ErrExist) {
		if _, stat := os.Stat(filepath.Join(cache, pkg)); stat != nil {
			return err
		}
	}
	return nil
}

func prepareKernel(ctx context.Context, dir, root string) error {
	kernels, _ := filepath.Glob(filepath.Join(root, "boot", "vmlinuz-*"))
	if len(kernels) != 1 {
		return fmt.Errorf("the lab's kernel package has %d kernels, not one", len(kernels))
	}
	version := strings.TrimPrefix(filepath.Base(kernels[0]), "vmlinuz-")
	depmod, err := program("depmod")
	if err != nil {
		return err
	}
	if err := run(ctx, dir, depmod, "-b", root, version); err != nil {
		return err
	}
	if err := os.Rename(kernels[0], filepath.Join(dir, "vmlinuz")); err != nil {
		return err
	}
	unpackKernel(ctx, filepath.Join(dir, "vmlinuz"), filepath.Join(dir, "vmlinux"))
	return nil
}

// unpackKernel takes the ELF kernel out of a bzImage: an emulated machine
// spends longer on unpacking it than on everything else before init. Without
// xz, or with another compression, the bzImage has to do.
func unpackKernel(ctx context.Context, from, to string) {
	raw, err := os.ReadFile(from)
	if err != nil {
		return
	}
	at := bytes.Index(raw, []byte("\xfd7zXZ\x00"))
	if at < 0 {
		return
	}
	cmd := exec.CommandContext(ctx, "xz", "-dc")
	cmd.Stdin = bytes.NewReader(raw[at:])
	unpacked, _ := cmd.Output() // it complains of what follows the compressed part
	if f, err := elf.NewFile(bytes.NewReader(unpacked)); err == nil && len(f.Progs) > 0 {
		if os.WriteFile(to, unpacked, 0o644) != nil {
			os.Remove(to)
		}
	}
}

func run(ctx context.Context, dir, name string, args ...string) error {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%s %s: %w: %s", name, strings.Join(args, " "), err, bytes.TrimSpace(out))
	}
	return nil
}

// writeInitrd makes a file of a RAM disk, with modules of the tree below root.
func writeInitrd(path, root string, d ramDisk) error {
	versions, _ := filepath.Glob(filepath.Join(root, "lib/modules/*"))
	if len(versions) != 1 {
		return fmt.Errorf("%s holds modules of %d kernels, not of one", root, len(versions))
	}
	deps, err := os.ReadFile(filepath.Join(versions[0], "modules.dep"))
	if err != nil {
		return err
	}
	order, err := loadOrder(string(deps), d.modules)
	if err != nil {
		return err
	}
	busybox, err := program("busybox")
	if err != nil {
		return err
	}
	files := []archived{{name: "init", mode: 0o755, data: d.script}, {name: "order", mode: 0o644, data: []byte(modulePaths(order))}}
	for _, dir := range []string{"bin", "mod", "proc", "sys", "dev", "lower", "layer", "new", "seed"} {
		files = append(files, archived{name: dir, mode: 0o040755})
	}
	sources := map[string]string{"bin/busybox": busybox}
	for _, m := range order {
		sources["mod/"+filepath.Base(m)] = filepath.Join(versions[0], m)
	}
	for name, from := range sources {
		data, err := os.ReadFile(from)
		if err != nil {
			return err
		}
		files = append(files, archived{name: name, mode: 0o755, data: data})
	}
	return writeGzip(path, files)
}

func modulePaths(order []string) string {
	var b strings.Builder
	for _, m := range order {
		b.WriteString("/mod/" + filepath.Base(m) + "\n")
	}
	return b.String()
}

// loadOrder lists modules with what they need, in the order in which they load.
// deps is modules.dep: each line's needs stand in the reverse of that order.
func loadOrder(deps string, wanted []string) ([]string, error) {
	var order []string
	for _, name := range wanted {
		name, found := strings.CutPrefix(name, "?") // nothing to find when it may be missing
		for line := range strings.Lines(deps) {
			module, needs, _ := strings.Cut(strings.TrimSpace(line), ":")
			if strings.ReplaceAll(filepath.Base(module), "-", "_") != name+".ko" {
				continue
			}
			found = true
			chain := append([]string{module}, strings.Fields(needs)...)
			slices.Reverse(chain)
			for _, m := range chain {
				if !slices.Contains(order, m) {
					order = append(order, m)
				}
			}
		}
		if !found {
			return nil, fmt.Errorf("the kernel package has no module %s", name)
		}
	}
	return order, nil
}

func writeGzip(path string, files []archived) error {
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	if err := errors.Join(writeArchive(z, files), z.Close()); err != nil {
		return err
	}
	return writeWhole(path, &b)
}

// writeWhole makes a file appear complete or not at all.
func writeWhole(path string, r io.Reader) error {
	f, err := os.CreateTemp(filepath.Dir(path), ".new-")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	_, err = io.Copy(f, r)
	if err := errors.Join(err, f.Close()); err != nil {
		return err
	}
	return os.Rename(f.Name(), path)
}
