/* SPDX-License-Identifier: MIT
 * Attaching and detaching: see attach.h. */
#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <string.h>
#include <unistd.h>
#include "attach.h"
#include "error.h"
#include "flow.h"
#include "tcx.h"

static const char *const words[2] = { [CF_FLOW_EGRESS] = "egress", [CF_FLOW_INGRESS] = "ingress" };

struct job {
	const struct cf_plan_cell *cell;
	const int *prog_fd;
	const struct cf_attachment *from; /* NULL: nobody's place is taken */
	struct cf_attachment *out;
	struct cf_clsact_target target;
	struct cf_error *err;
	int no_tcx; /* set when the kernel does not know it */
};

static void tcx_close(struct cf_attachment *attachment)
{
	for (int i = 0; i < 2; i++) {
		if (attachment->link_fd[i] >= 0)
			close(attachment->link_fd[i]);
		attachment->link_fd[i] = -1;
		attachment->is_shared[i] = 0;
	}
}

void cf_attach_return(const struct cf_attachment *attachment, const struct cf_attachment *from)
{
	for (int i = 0; i < 2; i++)
		if (attachment->is_shared[i] && from->link_fd[i] >= 0)
			cf_tcx_replace(from->link_fd[i], from->prog_fd[i]);
}

static int tcx_fail(struct job *job, int direction, int cause)
{
	const char *name = job->cell->name, *ifname = job->target.ifname;

	if (cause == EINVAL) {
		job->no_tcx = 1;
		return cf_fail(job->err, CF_FAIL_UNSUPPORTED_HOST, cause,
			       "cell \"%s\": interface %s: this kernel refuses tcx (it needs Linux 6.6 with "
			       "CONFIG_NET_XGRESS=y); use attach = \"auto\" or \"clsact\"",
			       name, ifname);
	}
	if (cause == EPERM)
		return cf_fail(job->err, CF_FAIL_UNSUPPORTED_HOST, cause,
			       "cell \"%s\": interface %s: tcx %s is not permitted: needs root, or CAP_BPF and "
			       "CAP_NET_ADMIN",
			       name, ifname, words[direction]);
	if (cause == ERANGE)
		return cf_fail(job->err, CF_FAIL_ATTACH, cause,
			       "cell \"%s\": interface %s: tcx %s: as many programs as the kernel takes are attached "
			       "already",
			       name, ifname, words[direction]);
	return cf_fail(job->err, CF_FAIL_ATTACH, cause, "cell \"%s\": interface %s: tcx %s: %s", name, ifname,
		       words[direction], strerror(cause));
}

/* The link of the one whose place is taken, with our program in it, or -1: there is none, or it is of no use. */
static int link_take_over(struct job *job, int direction)
{
	const struct cf_attachment *from = job->from;
	int fd;

	if (!from || from->link_fd[direction] < 0 || from->interface.ifindex != job->target.ifindex ||
	    !cf_netns_same(&from->netns, &job->out->netns))
		return -1;
	fd = fcntl(from->link_fd[direction], F_DUPFD_CLOEXEC, 3);
	if (fd >= 0 && cf_tcx_replace(fd, job->prog_fd[direction]) < 0) {
		close(fd);
		return -1;
	}
	job->out->is_shared[direction] = fd >= 0;
	return fd;
}

static int tcx_attach(struct job *job)
{
	int ifindex = job->target.ifindex, fd, on;

	for (int i = 0; i < 2; i++) {
		if (job->prog_fd[i] < 0)
			continue;
		fd = link_take_over(job, i);
		if (fd < 0)
			fd = cf_tcx_attach(job->prog_fd[i], ifindex, i);
		on = fd < 0 ? fd : cf_tcx_ifindex(fd);
		job->out->link_fd[i] = fd < 0 ? -1 : fd;
		if (on == ifindex)
			continue;
		if (job->from)
			cf_attach_return(job->out, job->from);
		tcx_close(job->out);
		return tcx_fail(job, i, on < 0 ? -on : ENODEV);
	}
	job->out->mode = CF_ATTACH_TCX;
	return 0;
}

/* An index is a number in the namespace of the moment: the name decides, on the thread that attaches. */
static int interface_confirm(struct job *job)
{
	unsigned int ifindex = if_nametoindex(job->target.ifname);

	if ((int)ifindex == job->target.ifindex)
		return 0;
	return cf_fail(job->err, CF_FAIL_ATTACH, ENODEV,
		       "cell \"%s\": interface %s %s since it was looked up; try again", job->cell->name,
		       job->target.ifname, ifindex ? "was replaced" : "went away");
}

static int attach_tcx_inside(void *arg)
{
	struct job *job = arg;

	return interface_confirm(job) < 0 ? -1 : tcx_attach(job);
}

static int attach_clsact_inside(void *arg)
{
	struct job *job = arg;

	if (interface_confirm(job) < 0 || cf_clsact_attach(&job->out->clsact, &job->target, job->prog_fd, job->err) < 0)
		return -1;
	job->out->mode = CF_ATTACH_CLSACT;
	return 0;
}

static int purge_inside(void *arg)
{
	struct job *job = arg;

	if (interface_confirm(job) == 0)
		cf_clsact_purge(&job->target, job->prog_fd);
	return 0;
}

/* Filters of a killed cellflow that had used clsact would stay for ever if only clsact starts looked for them. */
static void leftovers_purge(int nsfd, const struct job *attach)
{
	struct job job = *attach;
	struct cf_clsact lock;

	job.err = NULL;
	cf_clsact_init(&lock);
	if (cf_clsact_lock(&lock, &job.target, job.prog_fd, NULL) < 0)
		return;
	cf_netns_do(nsfd, purge_inside, &job, NULL);
	cf_clsact_unlock(&lock);
}

static int attach_by_mode(int nsfd, struct job *job)
{
	struct cf_clsact *clsact = &job->out->clsact;

	if (job->cell->attach != CF_ATTACH_CLSACT) {
		if (cf_netns_do(nsfd, attach_tcx_inside, job, job->err) == 0) {
			leftovers_purge(nsfd, job);
			return 0;
		}
		if (!job->no_tcx || job->cell->attach == CF_ATTACH_TCX)
			return -1;
	}
	/* The lock belongs to the supervisor's namespace, so it is taken before entering the cell's. */
	if (cf_clsact_lock(clsact, &job->target, job->prog_fd, job->err) < 0)
		return -1;
	if (cf_netns_do(nsfd, attach_clsact_inside, job, job->err) == 0)
		return 0;
	cf_clsact_unlock(clsact);
	return -1;
}

static struct cf_clsact_target target_of(const struct cf_plan_cell *cell, const struct cf_attachment *attachment)
{
	const struct cf_netns_id *netns = &attachment->netns;

	return (struct cf_clsact_target){
		.cell = cell->name,
		.ifname = attachment->interface.name,
		.netns = netns->cookie ? netns->cookie : netns->ino,
		.ifindex = attachment->interface.ifindex,
	};
}

void cf_attachment_init(struct cf_attachment *attachment)
{
	memset(attachment, 0, sizeof(*attachment));
	attachment->link_fd[0] = -1;
	attachment->link_fd[1] = -1;
	cf_clsact_init(&attachment->clsact);
}

int cf_attach(int nsfd, const struct cf_plan_cell *cell, const struct cf_interface *interface, const int prog_fd[2],
	      struct cf_attachment *out, struct cf_error *err)
{
	return cf_attach_over(nsfd, cell, interface, prog_fd, NULL, out, err);
}

int cf_attach_over(int nsfd, const struct cf_plan_cell *cell, const struct cf_interface *interface,
		   const int prog_fd[2], const struct cf_attachment *from, struct cf_attachment *out,
		   struct cf_error *err)
{
	struct job job = { .cell = cell, .prog_fd = prog_fd, .from = from, .out = out, .err = err };

	cf_attachment_init(out);
	out->interface = *interface;
	memcpy(out->prog_fd, prog_fd, sizeof(out->prog_fd));
	if (cf_netns_identity(nsfd, &out->netns, err) < 0)
		return -1;
	job.target = target_of(cell, out);
	return attach_by_mode(nsfd, &job);
}

static int detach_inside(void *arg)
{
	struct job *job = arg;
	unsigned int ifindex = if_nametoindex(job->target.ifname);

	/* Filters go with their interface. A renamed one keeps its index, and a new one has no program of ours. */
	if (!ifindex && errno == ENODEV && !if_indextoname((unsigned int)job->target.ifindex, (char[IF_NAMESIZE]){ 0 }))
		return 0;
	return cf_clsact_detach(&job->out->clsact, &job->target, job->err);
}

static int look_inside(void *arg)
{
	struct job *job = arg;

	return cf_clsact_holds(&job->out->clsact, &job->target);
}

int cf_attachment_holds(const struct cf_attachment *attachment, const struct cf_plan_cell *cell)
{
	struct cf_attachment copy = *attachment;
	struct job job = { .cell = cell, .out = &copy };
	struct cf_netns_id now;
	int nsfd, ret = -1;

	if (attachment->mode != CF_ATTACH_CLSACT)
		return 1;
	job.target = target_of(cell, attachment);
	nsfd = cf_netns_open(cell, NULL);
	if (nsfd < 0)
		return -1;
	if (cf_netns_identity(nsfd, &now, NULL) == 0 && cf_netns_same(&now, &attachment->netns))
		ret = cf_netns_do(nsfd, look_inside, &job, NULL);
	close(nsfd);
	return ret;
}

static int clsact_leave(struct cf_attachment *attachment, const struct cf_plan_cell *cell, struct cf_error *err)
{
	struct job job = { .cell = cell, .out = attachment, .err = err };
	struct cf_netns_id now;
	int nsfd, ret;

	job.target = target_of(cell, attachment);
	nsfd = cf_netns_open(cell, NULL);
	if (nsfd >= 0 && cf_netns_identity(nsfd, &now, NULL) == 0 && cf_netns_same(&now, &attachment->netns))
		ret = cf_netns_do(nsfd, detach_inside, &job, err);
	else
		ret = cf_fail(err, CF_FAIL_ATTACH, ENOENT,
			      "cell \"%s\": its network namespace cannot be reached any more; the clsact filters on %s "
			      "go when the namespace goes",
			      cell->name, attachment->interface.name);
	if (nsfd >= 0)
		close(nsfd);
	return ret;
}

int cf_detach(struct cf_attachment *attachment, const struct cf_plan_cell *cell, struct cf_error *err)
{
	int ret = 0;

	tcx_close(attachment);
	if (attachment->mode == CF_ATTACH_CLSACT)
		ret = clsact_leave(attachment, cell, err);
	cf_clsact_unlock(&attachment->clsact);
	attachment->mode = CF_ATTACH_AUTO;
	return ret;
}
